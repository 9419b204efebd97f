"""Runs trained by the workers of a Ray cluster, which share ``saved/``."""

from collections.abc import Sequence
from dataclasses import replace

from finetune_cot.config.options import replace as changed
from finetune_cot.pipeline.progress import progress
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.ray_pool import done_on_ray, worker_device
from finetune_cot.pipeline.train_plan import RunPlan
from finetune_cot.pipeline.train_run import RunResult, perform


class TrainWorker:
    """A process of the cluster that trains one run after another."""

    def __init__(self, plans: Sequence[RunPlan]) -> None:
        self._plans = plans
        self._device = "cpu"

    def load(self) -> None:
        """Find this worker's device; each run loads the model anew, as it changes it."""
        self._device = worker_device(self._plans[0].config)

    def do(self, number: int) -> RunResult:
        """Train a run, or go on where a dead worker was."""
        return perform(replace(self._plans[number], device=self._device), False, Ranks())


def train_on_ray(plans: Sequence[RunPlan]) -> list[RunResult]:
    """Train runs on the workers of a Ray cluster; their results, in the order of the runs.

    Raises:
        UsageError: the cluster cannot be reached.
        TrainingError: several workers died over the same run, or a loss is no finite number.
        FtcotError: what a worker raised.
    """
    config = plans[0].config
    # A worker has a working directory of its own.
    saved = config.saved_dir.resolve()
    there = [
        replace(
            plan,
            config=changed(plan.config, saved_dir=saved),
            folder=plan.folder.resolve(),
            student_path=plan.student_path.resolve(),
        )
        for plan in plans
    ]
    results: dict[int, RunResult] = {}
    with progress("train", len(plans), "runs") as report:
        rows = done_on_ray(TrainWorker, there, range(len(plans)), config, config.devices, _told)
        for number, result in rows:
            results[number] = replace(result, checkpoint=str(plans[number].folder))
            report(len(results))
    return [results[number] for number in range(len(plans))]


def _told(number: int) -> str:
    return f"run {number} of the list"
