"""``ftcot grads``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_fields, show_plan
from finetune_cot.config.grads import GradsConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.grads import GradsResult

_EXAMPLES = (
    "",
    "--project-dim 1000 --points 0.5 meta",
    "--data-path my_rows.jsonl --dev-fraction 0.2",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "grads", GradsConfig, _run, _show, processes=_processes, examples=_EXAMPLES)


def _run(config: GradsConfig) -> "GradsResult":
    from finetune_cot.pipeline.grads import grads

    return grads(config)


def _processes(config: GradsConfig) -> int:
    from finetune_cot.pipeline.launching import processes_to_start

    return processes_to_start(config.devices)


def _show(result: "GradsResult") -> None:
    if result.plan:
        typer.echo(f"gradients of {result.samples} samples; nothing is done yet:")
        show_plan(result.plan)
        return
    show_fields(result)
    typer.echo("next: ftcot estimate with the same options")
