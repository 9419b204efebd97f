"""``ftcot select``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_table
from finetune_cot.config.select import SelectConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.select import SelectResult

_EXAMPLES = (
    "",
    "--target-task sums --num-tasks 3",
    "--group-by cluster --num-clusters 8",
    "--select-by affinity --num-groups 4",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "select", SelectConfig, _run, _show, examples=_EXAMPLES)


def _run(config: SelectConfig) -> "SelectResult":
    from finetune_cot.pipeline.select import select

    return select(config)


def _show(result: "SelectResult") -> None:
    selected = set(result.tasks)
    rows = [
        [number, task, result.samples_by_task[task], score, task in selected]
        for number, (task, score) in enumerate(result.scores.items())
    ]
    show_table(("number", "task", "training samples", "score (lower is better)", "chosen"), rows)
    for number, group in enumerate(result.groups):
        typer.echo(f"group {number}: {_numbers(group)}")
    if result.order:
        course = zip(result.order, result.losses, strict=True)
        typer.echo("loss with each task added: " + ", ".join(f"{task} {loss:.4g}" for task, loss in course))
    typer.echo(f"{len(result.selected)} of {len(rows)} tasks by {result.method}, for {result.target}")
    typer.echo(f"in {result.path}")
    groups = f" --task-groups {result.task_groups}" if result.task_groups else ""
    chosen = f"--groups {result.path}" if result.groups else f"--task-idxes {_numbers(result.selected)}"
    named = "--save-name selected --train-key selected"
    typer.echo(f"next: ftcot train {chosen}{groups} {named}, with the same data and model")


def _numbers(tasks: Sequence[int]) -> str:
    return " ".join(map(str, tasks))
