"""``ftcot teach``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.teach import TeachConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.teach import TeachResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "teach", TeachConfig, _run)


def _run(config: TeachConfig) -> "TeachResult":
    from finetune_cot.pipeline.teach import teach

    return teach(config)
