"""``ftcot train``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.train import TrainConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.train import TrainResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "train", TrainConfig, _run)


def _run(config: TrainConfig) -> "TrainResult":
    from finetune_cot.pipeline.train import train

    return train(config)
