"""``ftcot select``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_table
from finetune_cot.config.select import SelectConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.select import SelectResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "select", SelectConfig, _run, _show)


def _run(config: SelectConfig) -> "SelectResult":
    from finetune_cot.pipeline.select import select

    return select(config)


def _show(result: "SelectResult") -> None:
    chosen = set(result.tasks)
    rows = [
        [number, task, score, task in chosen] for number, (task, score) in enumerate(result.scores.items())
    ]
    show_table(("number", "task", "score (lower is better)", "chosen"), rows)
    for number, group in enumerate(result.groups):
        typer.echo(f"group {number}: {' '.join(map(str, group))}")
    typer.echo(f"{len(result.selected)} of {len(rows)} tasks by {result.method}, for {result.target}")
    typer.echo(f"in {result.path}")
    typer.echo(f"next: ftcot train --task-idxes {' '.join(map(str, result.selected))}")
