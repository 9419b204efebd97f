"""``ftcot export-hf``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.cli.command import add_command
from finetune_cot.config.export_hf import ExportHfConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.export_hf import ExportHfResult

_EXAMPLES = (
    "",
    "--load-model-dir saved/checkpoints/bundled_gpt2_lora_r_4_run_0 --dtype bfloat16",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "export-hf", ExportHfConfig, _run, _show, examples=_EXAMPLES)


def _run(config: ExportHfConfig) -> "ExportHfResult":
    from finetune_cot.pipeline.export_hf import export_hf

    return export_hf(config)


def _show(result: "ExportHfResult") -> None:
    kind = "a whole model" if result.merged else f"an adapter of {result.base_model}"
    if result.max_logit_difference is None:
        typer.echo(f"{result.checkpoint} would be exported as {kind} in {result.dtype}")
        typer.echo(f"to {result.path}")
        return
    typer.echo(f"{kind} in {result.dtype}, {result.bytes / 2**20:.1f} MiB, of {result.checkpoint}")
    typer.echo(f"largest difference of a logit to the checkpoint: {result.max_logit_difference:.3g}")
    if result.loss_before is not None and result.loss_after is not None:
        typer.echo(f"dev loss {result.loss_before:.4g} before merging, {result.loss_after:.4g} after")
    typer.echo(f"in {result.path}")
    typer.echo(f"next: ftcot evaluate --load-model-dir {result.path}")
