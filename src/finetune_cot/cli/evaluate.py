"""``ftcot evaluate``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.evaluate import EvaluateConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.evaluate import EvaluateResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "evaluate", EvaluateConfig, _run)


def _run(config: EvaluateConfig) -> "EvaluateResult":
    from finetune_cot.pipeline.evaluate import evaluate

    return evaluate(config)
