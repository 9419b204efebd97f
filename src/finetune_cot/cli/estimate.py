"""``ftcot estimate``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.estimate import EstimateConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.estimate import EstimateResult

_EXAMPLES = (
    "",
    "--number-of-subsets 200 --estimator all",
    "--estimator gradex trak --calibrate 16",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "estimate", EstimateConfig, _run, _show, examples=_EXAMPLES)


def _run(config: EstimateConfig) -> "EstimateResult":
    from finetune_cot.pipeline.estimate import estimate

    return estimate(config)


def _show(result: "EstimateResult") -> None:
    typer.echo(
        f"{result.subsets} subsets of {len(result.tasks)} tasks in {result.seconds:.2f} s by {result.method},"
        f" from gradients of {result.dim} numbers at {', '.join(result.points)}"
    )
    best = ", ".join(result.tasks[index] for index in result.best)
    of = "mean loss" if result.target == "mean" else f"loss of {result.target}"
    typer.echo(f"lowest {of}: {' '.join(map(str, result.best))} ({best})")
    typer.echo(f"in {result.results_path}")
    typer.echo("next: ftcot sample-truth with the same options, and ftcot report")
