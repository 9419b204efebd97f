"""``ftcot teach``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_fields, show_table
from finetune_cot.config.teach import TeachConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.batch_report import BatchReport
    from finetune_cot.pipeline.teach import TeachResult

_BATCH_COLUMNS = ("batch", "step", "status", "requests", "completed", "failed")

_EXAMPLES = (
    "",
    "--teacher openai --base-url http://localhost:8000/v1 --model-key my-teacher --dataset-key gsm8k",
    "--dataset-key gsm8k --split train --completion-key zs_cot_t70 --num-completions 8 --dry-run",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "teach", TeachConfig, _run, _show, examples=_EXAMPLES)


def _run(config: TeachConfig) -> "TeachResult":
    from finetune_cot.pipeline.teach import teach

    return teach(config)


def _show(result: "TeachResult") -> None:
    if result.plan:
        typer.echo(f"{result.plan.missing} of {result.requested} completions would be asked for:")
        show_fields(result.plan)
        if result.plan.cost is None:
            typer.echo("cost: unknown; give --price-in and --price-out")
        return
    typer.echo(
        f"{result.completed} completions written, {result.reused} were there, {result.failed} failed;"
        f" {result.distinct_rationales} distinct rationales ({result.distinct_rate:.0%})"
    )
    if result.completed and result.completion_tokens:
        typer.echo(_tokens_and_cost(result))
    if result.incomplete:
        told = ", ".join(f"{count} by {reason}" for reason, count in result.incomplete.items())
        typer.echo(f"cut off before their end: {told}; build-finetune-data leaves them out")
    if result.batch:
        _show_batches(result.batch)
        if result.batch.under_way or result.batch.reasoned or result.failed:
            return
    typer.echo(f"in {result.path}")
    typer.echo(
        f"next: ftcot build-finetune-data --model-key {result.model_key} --dataset-key {result.dataset_key}"
        f" --completion-key {result.completion_key}"
    )


def _tokens_and_cost(result: "TeachResult") -> str:
    cached = f" ({result.cached_tokens} of them cached)" if result.cached_tokens else ""
    hidden = f" ({result.reasoning_tokens} of them hidden reasoning)" if result.reasoning_tokens else ""
    cost = "unknown; give --price-in and --price-out"
    if result.cost is not None:
        cost = f"{result.cost:.4f} US dollars"
        if result.total_cost is not None and round(result.total_cost - result.cost, 4) > 0:
            cost += f", {result.total_cost:.4f} in all"
    read, written = result.prompt_tokens, result.completion_tokens
    return f"{read} tokens read{cached}, {written} written{hidden}; cost: {cost}"


def _show_batches(report: "BatchReport") -> None:
    if report.batches:
        show_table(
            _BATCH_COLUMNS, [[getattr(row, name) for name in _BATCH_COLUMNS] for row in report.batches]
        )
    if report.submitted:
        typer.echo(f"{report.submitted} requests sent")
    if report.reasoned:
        typer.echo(f"{report.reasoned} rationales are there; --batch submit asks for their answers")
    if report.under_way:
        typer.echo(f"{report.under_way} requests under way; --batch collect takes what is back")
