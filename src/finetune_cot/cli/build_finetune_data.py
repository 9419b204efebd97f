"""``ftcot build-finetune-data``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.build_finetune_data import BuildFinetuneDataResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "build-finetune-data", BuildFinetuneDataConfig, _run)


def _run(config: BuildFinetuneDataConfig) -> "BuildFinetuneDataResult":
    from finetune_cot.pipeline.build_finetune_data import build_finetune_data

    return build_finetune_data(config)
