"""``ftcot demo``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_table
from finetune_cot.config.demo import DemoConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.demo import DemoResult

_EXAMPLES = (
    "",
    "--questions 30 --saved-dir /tmp/demo",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "demo", DemoConfig, _run, _show, examples=_EXAMPLES)


def _run(config: DemoConfig) -> "DemoResult":
    from finetune_cot.pipeline.demo import demo

    return demo(config)


def _show(result: "DemoResult") -> None:
    show_table(
        ["data set", "questions", "base model right", "student right"],
        [[row.dataset, row.n, row.base_correct, row.student_correct] for row in result.datasets],
    )
    typer.echo(
        f"trained on {result.training_samples} samples, {result.self_taught_samples} of them self-taught,"
        f" in all {result.seconds:.0f} s"
    )
    typer.echo(_accuracy("base model", result.base_accuracy, result.base_stderr, result.questions))
    typer.echo(_accuracy("student", result.student_accuracy, result.student_stderr, result.questions))
    typer.echo(f"report:      {result.page or result.report}")
    typer.echo(f"next:        ftcot export-hf --load-model-dir {result.checkpoint}")


def _accuracy(who: str, accuracy: float, stderr: float, n: int) -> str:
    return f"{who + ':':<12} {accuracy:.1%} +- {stderr:.1%} of {n} held-out questions (standard error)"
