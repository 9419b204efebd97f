"""``ftcot train``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import show_fields, show_table
from finetune_cot.config.train import TrainConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.train import TrainResult

_RUN_COLUMNS = ("run", "seed", "checkpoint", "train_loss", "dev_loss", "best_epoch", "best_dev_loss")


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "train", TrainConfig, _run, _show)


def _run(config: TrainConfig) -> "TrainResult":
    from finetune_cot.pipeline.train import train

    return train(config)


def _show(result: "TrainResult") -> None:
    from dataclasses import replace

    show_fields(replace(result, dev_loss_by_task={}, runs=()))
    if len(result.runs) > 1:
        show_table(_RUN_COLUMNS, [[getattr(run, name) for name in _RUN_COLUMNS] for run in result.runs])
    if len(result.dev_loss_by_task) > 1:
        show_table(("task", "dev_loss"), [[task, loss] for task, loss in result.dev_loss_by_task.items()])
