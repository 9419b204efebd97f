"""Subsets measured by the workers of a Ray cluster; this process hands them out and writes the results.

The workers need the package and the model, and no shared ``saved/``: samples go to them with the plan. A
worker that dies is replaced, and its subset goes to whichever worker is free.
"""

import importlib.util
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from finetune_cot.artifacts.results import ResultRow, append_result
from finetune_cot.errors import TrainingError, UsageError
from finetune_cot.estimation.subsets import Subset
from finetune_cot.pipeline.devices import training_device
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.pipeline.sample_truth import TruthPlan, begin, load_truth_model, measure, missing_subsets
from finetune_cot.pipeline.train_checks import check_precision

TRIES = 4
"""How many workers may die over one subset."""
_SECONDS_BETWEEN_LINES = 60.0


class TruthWorker:
    """A process of the cluster with the model loaded once, which measures one subset after another."""

    def __init__(self, plan: TruthPlan) -> None:
        self._plan = plan
        self._subject: Any = None

    def load(self) -> None:
        """Load the model on this worker's device."""
        device = training_device(self._plan.config.devices)
        check_precision(self._plan.config.precision, device)
        self._plan = replace(self._plan, device=device)
        self._subject = load_truth_model(self._plan)

    def measure(self, subset: Subset) -> ResultRow:
        """Fine-tune on a subset, and measure every task's dev loss."""
        return measure(self._subject, self._plan, subset, lambda _: None)


def check_ray(processes: int) -> None:
    """Refuse to go on without Ray, or with processes that torchrun started beside it.

    Raises:
        UsageError: Ray is not installed, or there are several processes.
    """
    if processes > 1:
        raise UsageError("starts workers of its own", where="--engine ray", remedy="run it without torchrun")
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "Ray is not installed", where="--engine ray", remedy="run: pip install 'finetune-cot[ray]'"
        )


def measure_on_ray(plan: TruthPlan, subsets: Sequence[Subset]) -> None:
    """Measure subsets on the workers of a Ray cluster, each result being written when it is there.

    Raises:
        UsageError: the cluster cannot be reached.
        TrainingError: several workers died over the same subset, or while they loaded the model.
        FtcotError: what a worker raised.
    """
    with (
        _cluster(plan.config.ray_address) as ray,
        progress("sample-truth", len(subsets), "subsets") as report,
    ):
        there = ray.cluster_resources()
        on_gpus = plan.config.devices != ("cpu",) and "GPU" in there
        workers = plan.config.ray_workers or max(1, int(there.get("GPU" if on_gpus else "CPU", 0)))
        worker_class = ray.remote(num_cpus=1, num_gpus=int(on_gpus))(TruthWorker)
        pool = _Pool(ray, worker_class, ray.put(plan))
        for done, row in enumerate(pool.results(subsets, min(workers, len(subsets))), start=1):
            if done == 1:
                begin(plan)
            if row.task_indices in missing_subsets(plan):
                append_result(plan.path, row)
            report(done)


class _Pool:
    """Workers that are given one subset after another."""

    def __init__(self, ray: Any, worker_class: Any, plan: Any) -> None:
        self._ray = ray
        self._worker_class = worker_class
        self._plan = plan
        self._busy: dict[Any, tuple[Any, Subset | None]] = {}
        """By the promise of what a worker is doing: the worker, and its subset; None while it loads."""
        self._deaths: Counter[Subset | None] = Counter()

    def results(self, subsets: Sequence[Subset], workers: int) -> Iterator[ResultRow]:
        """The result of every subset, in the order in which they end."""
        todo, idle, missing = list(reversed(subsets)), [], len(subsets)
        for _ in range(workers):
            self._start()
        while missing:
            worker, subset, row = self._next()
            if worker is None:  # it died
                todo += [] if subset is None else [subset]
            else:
                idle.append(worker)
            if row is not None:
                missing -= 1
                yield row
            while idle and todo:
                worker, subset = idle.pop(), todo.pop()
                self._busy[worker.measure.remote(subset)] = (worker, subset)

    def _start(self) -> None:
        worker = self._worker_class.remote(self._plan)
        self._busy[worker.load.remote()] = (worker, None)

    def _next(self) -> tuple[Any, Subset | None, ResultRow | None]:
        """A worker that is free now, the subset it had, and its result; a dead worker is None."""
        while not (done := self._ray.wait(list(self._busy), timeout=_SECONDS_BETWEEN_LINES)[0]):
            if all(subset is None for _, subset in self._busy.values()):
                say("no worker is ready yet: the cluster may be busy")
        worker, subset = self._busy.pop(done[0])
        try:
            return worker, subset, self._ray.get(done[0])
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayActorError as error:
            self._deaths[subset] += 1
            task = "loading the model" if subset is None else f"subset {' '.join(map(str, subset))}"
            if self._deaths[subset] >= TRIES:
                raise TrainingError(
                    f"{TRIES} workers died over it: {error}", where=task, remedy="see the logs of Ray"
                ) from None
            say(f"a worker died over {task}; another one takes its place")
            self._start()
            return None, subset, None


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError) as error:
        raise UsageError(
            f"no cluster can be reached: {error}",
            where="--ray-address",
            remedy="give the address that `ray start` told, or local",
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
