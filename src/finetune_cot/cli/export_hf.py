"""``ftcot export-hf``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.export_hf import ExportHfConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.export_hf import ExportHfResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "export-hf", ExportHfConfig, _run)


def _run(config: ExportHfConfig) -> "ExportHfResult":
    from finetune_cot.pipeline.export_hf import export_hf

    return export_hf(config)
