"""``ftcot demo``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.demo import DemoConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.demo import DemoResult


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "demo", DemoConfig, _run)


def _run(config: DemoConfig) -> "DemoResult":
    from finetune_cot.pipeline.demo import demo

    return demo(config)
