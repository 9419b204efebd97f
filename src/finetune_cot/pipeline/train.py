"""``ftcot train``: data become a student, in one run or several."""

import importlib.util
import statistics
from collections.abc import Sequence
from pathlib import Path

from finetune_cot.artifacts.ids import ResultsId
from finetune_cot.artifacts.keys import check_key
from finetune_cot.artifacts.results import ResultRow, append_result, read_results
from finetune_cot.config.options import replace
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import UsageError
from finetune_cot.models.registry import check_available
from finetune_cot.pipeline.devices import placement
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.ranks import Ranks, joined
from finetune_cot.pipeline.ray_pool import check_ray
from finetune_cot.pipeline.train_checks import (
    check_optimizer,
    check_precision,
    check_start,
    check_strategy,
    settled_method,
    settled_precision,
)
from finetune_cot.pipeline.train_data import (
    Parts,
    TrainingData,
    in_task_groups,
    read_training_data,
)
from finetune_cot.pipeline.train_ensembles import train_ensembles
from finetune_cot.pipeline.train_plan import RunPlan, divided, plan_run
from finetune_cot.pipeline.train_result import TrainResult, planned
from finetune_cot.pipeline.train_run import RunResult, check_folder
from finetune_cot.pipeline.train_runs import train_runs

_LOGGER_PACKAGES = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}


def train(config: TrainConfig) -> TrainResult:
    """Fine-tune a student on rationales, answers or conversations.

    A run that is there already, made in the same way of the same data, is not repeated; one that was
    interrupted goes on where it was, to the same weights.

    Raises:
        UsageError: an option that this machine or this data set cannot follow.
        DataError, ArtifactError: the data are missing, torn or empty; a checkpoint is of another training.
        ModelError: the model, or the adapter to start from, is not there or of another kind.
        TrainingError: the loss is no longer a finite number.
        StoppedByAnotherError: another process of this run failed, and tells why.
    """
    if config.platform != "custom":
        from finetune_cot.pipeline.train_platform import train_on_platform

        return train_on_platform(config)
    with joined(collective=True) as ranks:
        return _train(config, ranks)


def _train(config: TrainConfig, ranks: Ranks) -> TrainResult:
    config = _settled(config)
    device, processes = placement(config.devices, config.num_nodes, ranks)
    if config.engine == "ray":
        check_ray(ranks.world)
    else:
        check_precision(config.precision, device)
    check_strategy(config, processes.world)
    check_optimizer(config.optimizer, device)
    check_available(config.model_key)
    check_start(config)
    data = in_task_groups(read_training_data(config), config.task_groups)
    if config.groups is not None:
        return train_ensembles(config, data, device, processes, ranks)
    if config.boost:
        raise UsageError("boosts an ensemble", where="--boost", remedy="give --groups")
    parts = divided(data, config)
    plans = [
        plan_run(config, config.run + number, data, parts, device, processes) for number in range(config.runs)
    ]
    states = ranks.agree("states", lambda: [check_folder(plan) for plan in plans])
    if config.dry_run:
        return planned(plans, states, data)
    say(_told(data, parts))
    runs = train_runs(plans, ranks)
    results_path = _write_results(plans, runs) if config.write_results and ranks.is_first else None
    return _summary(config, data, runs, results_path)


def _settled(config: TrainConfig) -> TrainConfig:
    """The config with its defaults filled in that depend on others."""
    config = settled_method(config)
    for name in config.logger:
        if importlib.util.find_spec(_LOGGER_PACKAGES[name]) is None:
            raise UsageError(
                f"{name} is not installed",
                where="--logger",
                remedy="run: pip install 'finetune-cot[logging]'",
            )
    return replace(
        settled_precision(config), train_key=check_key(config.train_key or config.method, "train key")
    )


def _told(data: TrainingData, parts: Parts) -> str:
    left_out = f"; {data.left_out} left out, with nothing to learn in them" if data.left_out else ""
    return (
        f"{len(parts.train)} training and {len(parts.dev)} dev samples of {len(parts.task_indices)} tasks"
        f" from {data.finetune_key}{left_out}"
    )


def _write_results(plans: Sequence[RunPlan], runs: Sequence[RunResult]) -> Path:
    """Add a row for each run, unless it is there."""
    path = ResultsId(plans[0].folder.name.rpartition("_run_")[0]).path(plans[0].config.saved_dir)
    rows = [
        ResultRow(plan.parts.task_indices, run.dev_loss, run.dev_loss_by_task)
        for plan, run in zip(plans, runs, strict=True)
        if run.dev_loss is not None
    ]
    known = read_results(path) if path.exists() else []
    for row in rows:
        if row not in known:
            append_result(path, row)
    return path


def _summary(
    config: TrainConfig, data: TrainingData, runs: Sequence[RunResult], results_path: Path | None
) -> TrainResult:
    first = runs[0]
    dev_losses = [run.dev_loss for run in runs if run.dev_loss is not None]
    dev_loss = statistics.fmean(dev_losses) if dev_losses else None
    return TrainResult(
        checkpoint=Path(first.checkpoint),
        epochs=config.epochs,
        steps=first.steps,
        trainable_parameters=first.trainable_parameters,
        train_loss=statistics.fmean(run.train_loss for run in runs),
        dev_loss=dev_loss,
        dev_loss_by_task={
            task: statistics.fmean(run.dev_loss_by_task[task] for run in runs)
            for task in first.dev_loss_by_task
        },
        dev_metrics={
            name: statistics.fmean(run.dev_metrics_by_epoch[-1][name] for run in runs)
            for name in (first.dev_metrics_by_epoch or [{}])[-1]
        },
        dev_loss_mean=dev_loss,
        dev_loss_std=statistics.stdev(dev_losses) if len(dev_losses) > 1 else None,
        best_epoch=first.best_epoch,
        seconds=sum(run.seconds for run in runs),
        seconds_per_sample=statistics.fmean(run.seconds_per_sample for run in runs),
        peak_memory_bytes=max(run.peak_memory_bytes for run in runs),
        estimated_memory_bytes=first.estimated_memory_bytes,
        results_path=results_path,
        samples=first.samples,
        dev_samples=first.dev_samples,
        too_long=first.too_long,
        left_out=data.left_out,
        resumed=any(run.resumed for run in runs),
        reused=all(run.reused for run in runs),
        runs=tuple(runs),
    )
