"""``ftcot build-finetune-data``."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.build_finetune_data import BuildFinetuneDataResult

_REASONS = (
    *("outside_split", "beyond_num_completions", "ungradable", "rejected_incorrect", "rejected_incomplete"),
    *("without_rationale", "duplicates"),
)
"""Why a completion is left out, by the names of the result's counts."""

_EXAMPLES = (
    "",
    "--model-key my-teacher --dataset-key gsm8k",
    "--model-key my-teacher --dataset-key gsm8k --preset-key ft_cot_t70_8aug",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "build-finetune-data", BuildFinetuneDataConfig, _run, _show, examples=_EXAMPLES)


def _run(config: BuildFinetuneDataConfig) -> "BuildFinetuneDataResult":
    from finetune_cot.pipeline.build_finetune_data import build_finetune_data

    return build_finetune_data(config)


def _state(path: Path, written: tuple[Path, ...]) -> str:
    if path in written:
        return "in"
    return "already in" if path.exists() else "would be in"


def _show(result: "BuildFinetuneDataResult") -> None:
    typer.echo(f"{result.samples} training samples of {result.questions} questions; {result.considered} seen")
    for name in _REASONS:
        if count := getattr(result, name):
            typer.echo(f"{count} left out: {name.replace('_', ' ')}")
    if result.unknown_completeness:
        typer.echo(f"{result.unknown_completeness} of them may be cut off: the file does not tell")
    for path in result.paths.values():
        typer.echo(f"{_state(path, result.written)} {path}")
    typer.echo(f"next: ftcot train --finetune-key {result.finetune_key}")
