"""``ftcot report``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.report import ReportConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.report import ReportResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "report", ReportConfig, _run)


def _run(config: ReportConfig) -> "ReportResult":
    from finetune_cot.pipeline.report import report

    return report(config)
