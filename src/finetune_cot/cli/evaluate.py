"""``ftcot evaluate``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import format_value, show_fields, show_table
from finetune_cot.config.evaluate import EvaluateConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.evaluate import EvaluateResult

_EXAMPLES = (
    "",
    "--load-model-dir saved/checkpoints/bundled_gpt2_lora_r_4_run_0",
    "--model-key gpt2 --finetune-key zs_cot_gsm8k --dataset-key gsm8k",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "evaluate", EvaluateConfig, _run, _show, examples=_EXAMPLES)


def _run(config: EvaluateConfig) -> "EvaluateResult":
    from finetune_cot.pipeline.evaluate import evaluate

    return evaluate(config)


def _show(result: "EvaluateResult") -> None:
    if result.plan:
        typer.echo(f"{result.plan.missing} completions would be generated:")
        show_fields(result.plan)
    if result.n:
        typer.echo(
            f"accuracy {result.accuracy:.1%} +- {result.stderr:.1%} (standard error): {result.correct} of"
            f" {result.n} right, {result.dataset} ({result.split}), {result.completion_key}"
        )
    further = {name: value for name, value in result.metrics.items() if name != "accuracy"}
    if further:
        typer.echo(f"{format_value(further)}, {result.dataset} ({result.split})")
    if result.ungradable and not result.metrics:
        typer.echo(f"{result.ungradable} left out: their right answer cannot be read")
    if len(result.tasks) > 1:
        rows = [
            [task.task, task.n, task.correct, f"{task.accuracy:.1%}", f"{task.stderr:.1%}"]
            for task in result.tasks
        ]
        show_table(["task", "n", "right", "accuracy", "standard error"], rows)
    if result.plan:
        typer.echo(f"{result.reused} are there already")
        return
    typer.echo(f"{result.generated} generated, {result.reused} were there; in {result.path}")
    typer.echo("next: ftcot report")
