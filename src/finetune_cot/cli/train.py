"""``ftcot train``."""

from typing import TYPE_CHECKING

import typer

from finetune_cot.artifacts.ids import parse_model_metadata_path
from finetune_cot.cli.command import add_command
from finetune_cot.cli.output import format_value, show_plan, show_table
from finetune_cot.config.train import TrainConfig

if TYPE_CHECKING:
    from finetune_cot.pipeline.ensemble import EnsembleResult
    from finetune_cot.pipeline.train_result import TrainResult

_RUN_COLUMNS = ("run", "seed", "checkpoint", "train_loss", "dev_loss", "best_epoch", "best_dev_loss")

_EXAMPLES = (
    "",
    "--model-key gpt2 --finetune-key zs_cot_gsm8k --lora-rank 16",
    "--data-path my_rows.jsonl --dev-fraction 0.2 --epochs 5",
    "--method full --train-layers last-2 --devices 0 1",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, "train", TrainConfig, _run, _show, processes=_processes, examples=_EXAMPLES)


def _run(config: TrainConfig) -> "TrainResult":
    from finetune_cot.pipeline.train import train

    return train(config)


def _processes(config: TrainConfig) -> int:
    from finetune_cot.pipeline.launching import processes_to_start

    elsewhere = config.engine == "ray" or config.platform != "custom"
    return 1 if elsewhere else processes_to_start(config.devices)


def _show(result: "TrainResult") -> None:
    if result.plan:
        typer.echo(f"{result.samples} training and {result.dev_samples} dev samples; nothing is done yet:")
        show_plan(result.plan)
        return
    if result.served_model:
        typer.echo(f"{result.served_model}, of {result.samples} training samples, by {result.job_id}")
        typer.echo(f"in {result.checkpoint}")
        id = parse_model_metadata_path(result.checkpoint)
        keys = f"--model-key {id.base_model} --finetune-key {id.finetune_key} --train-key {id.train_key}"
        run = f" --run {result.platform_run}" if result.platform_run else ""
        typer.echo(f"next: ftcot evaluate --teacher openai {keys}{run}")
        return
    typer.echo(
        f"{result.epochs} epochs, {result.steps} optimizer steps, {result.samples} training samples,"
        f" {format_value(result.trainable_parameters)} trainable parameters"
    )
    dev = "" if result.dev_loss is None else f", dev loss {result.dev_loss:.4g}"
    spread = "" if result.dev_loss_std is None else f" +- {result.dev_loss_std:.2g} (standard deviation)"
    best = "" if result.best_epoch is None else f", best epoch {result.best_epoch}"
    typer.echo(f"train loss {format_value(result.train_loss)}{dev}{spread}{best}")
    typer.echo(
        f"{result.seconds:.1f} s of training, {format_value(result.seconds_per_sample)} s a sample,"
        f" {(result.peak_memory_bytes or 0) / 2**20:.0f} MiB of memory at most"
    )
    if len(result.runs) > 1:
        show_table(_RUN_COLUMNS, [[getattr(run, name) for name in _RUN_COLUMNS] for run in result.runs])
    for ensemble in result.ensembles:
        _show_ensemble(ensemble)
    if len(result.dev_loss_by_task) > 1 and not result.ensembles:
        show_table(("task", "dev_loss"), [[task, loss] for task, loss in result.dev_loss_by_task.items()])
    measured = result.runs[0].dev_metrics_by_epoch if result.runs else ()
    if measured and not result.ensembles:
        show_table(("epoch", *measured[0]), [[place + 1, *of.values()] for place, of in enumerate(measured)])
    if result.results_path:
        typer.echo(f"dev losses in {result.results_path}")
    typer.echo(f"in {result.checkpoint}")
    task = min(measured[0]).partition("_")[0] if measured else None
    on = f" --dataset-key glue/{task}" if task else ""
    typer.echo(f"next: ftcot evaluate --load-model-dir {result.checkpoint}{on}")


def _show_ensemble(ensemble: "EnsembleResult") -> None:
    """Losses of each task by its own group's adapter and by all of them, and what each adapter says."""
    own, mixed = ensemble.own_group_loss_by_task, ensemble.dev_loss_by_task
    show_table(("task", "own_group", "ensemble"), [[task, own[task], mixed[task]] for task in sorted(own)])
    show_table(("adapter", "weight"), [list(member) for member in ensemble.members.items()])
