"""``ftcot train --groups``, whole: an ensemble for each run, and their means."""

import statistics

from finetune_cot.config.train import TrainConfig
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.train_data import TrainingData
from finetune_cot.pipeline.train_groups import check_groups, plan_groups, train_groups
from finetune_cot.pipeline.train_plan import RunPlan
from finetune_cot.pipeline.train_result import TrainResult, planned
from finetune_cot.pipeline.train_run import check_folder
from finetune_cot.training.settings import Processes


def train_ensembles(
    config: TrainConfig, data: TrainingData, device: str, processes: Processes, ranks: Ranks
) -> TrainResult:
    """Train an adapter for each group of tasks, and join them.

    Raises:
        UsageError: groups that cannot be joined.
        DataError, ArtifactError, ModelError, TrainingError: as of any training.
    """
    groups = check_groups(config, data)

    def members(run: int) -> list[RunPlan]:
        return plan_groups(config, run, data, groups, device, processes)

    plans = {config.run + number: members(config.run + number) for number in range(config.runs)}
    every = [plan for of_run in plans.values() for plan in of_run]
    states = ranks.agree("states", lambda: [check_folder(plan) for plan in every])
    if config.dry_run:
        return planned(every, states, data)
    ensembles = tuple(train_groups(config, run, data, of_run, ranks) for run, of_run in plans.items())
    first, runs = ensembles[0], tuple(run for ensemble in ensembles for run in ensemble.runs)
    losses = [ensemble.dev_loss for ensemble in ensembles]
    return TrainResult(
        checkpoint=first.checkpoint,
        epochs=config.epochs,
        steps=sum(run.steps for run in first.runs),
        trainable_parameters=sum(run.trainable_parameters for run in first.runs),
        train_loss=statistics.fmean(run.train_loss for run in runs),
        dev_loss=statistics.fmean(losses),
        dev_loss_by_task={
            task: statistics.fmean(ensemble.dev_loss_by_task[task] for ensemble in ensembles)
            for task in first.dev_loss_by_task
        },
        dev_loss_mean=statistics.fmean(losses),
        dev_loss_std=statistics.stdev(losses) if len(losses) > 1 else None,
        seconds=sum(run.seconds for run in runs),
        seconds_per_sample=statistics.fmean(run.seconds_per_sample for run in runs),
        peak_memory_bytes=max(run.peak_memory_bytes for run in runs),
        estimated_memory_bytes=first.runs[0].estimated_memory_bytes,
        samples=sum(run.samples for run in first.runs),
        dev_samples=sum(run.dev_samples for run in first.runs),
        too_long=sum(run.too_long for run in first.runs),
        left_out=data.left_out,
        resumed=any(run.resumed for run in runs),
        reused=all(run.reused for run in runs) and all(ensemble.reused for ensemble in ensembles),
        runs=runs,
        ensembles=ensembles,
    )
