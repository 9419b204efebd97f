"""``ftcot sample-truth``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_plan
from finetune_cot.config.sample_truth import SampleTruthConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.sample_truth import SampleTruthResult

_EXAMPLES = (
    "",
    "--number-of-subsets 16 --dry-run",
    "--shard 0/4",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "sample-truth", SampleTruthConfig, _run, _show, processes=_processes, examples=_EXAMPLES)


def _run(config: SampleTruthConfig) -> "SampleTruthResult":
    from finetune_cot.pipeline.sample_truth import sample_truth

    return sample_truth(config)


def _processes(config: SampleTruthConfig) -> int:
    from finetune_cot.pipeline.launching import processes_to_start

    return 1 if config.engine == "ray" else processes_to_start(config.devices)


def _show(result: "SampleTruthResult") -> None:
    if result.plan:
        typer.echo("nothing is done yet:")
        show_plan(result.plan)
        return
    elsewhere = f", {result.elsewhere} left to other processes" if result.elsewhere else ""
    typer.echo(
        f"{result.subsets} subsets of {len(result.tasks)} tasks, {result.reused} of them known{elsewhere}"
    )
    typer.echo(f"{result.seconds:.1f} s; losses in {result.results_path}")
    typer.echo("next: ftcot report")
