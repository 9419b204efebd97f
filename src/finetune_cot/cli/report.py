"""``ftcot report``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_table
from finetune_cot.config.report import ReportConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.report import ReportResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "report", ReportConfig, _run, _show)


def _run(config: ReportConfig) -> "ReportResult":
    from finetune_cot.pipeline.report import report

    return report(config)


def _show(result: "ReportResult") -> None:
    rows = [
        (row.model, row.method, row.training, row.dataset, row.n, f"{row.accuracy:.1%} ± {row.error:.1%}")
        for row in result.accuracy
    ]
    if rows:
        show_table(("model", "method", "training", "dataset", "n", "accuracy"), rows)
    typer.echo(f"report    {result.report_md}")
    typer.echo(f"tables    {len(result.tables)}")
    typer.echo(f"figures   {len(result.figures)}")
    if result.left_out:
        typer.echo(f"left out  {len(result.left_out)}, named in the report")
