"""The workers of a Ray cluster, which are handed one task after another; a worker that dies is replaced.

A worker is an object of a class with two methods: ``load``, called once, and ``do``, called with each task.
The cluster's machines need the package and the model.
"""

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from finetune_cot.config.engine import EngineOptions
from finetune_cot.config.training import ModelOptions
from finetune_cot.errors import TrainingError, UsageError
from finetune_cot.pipeline.devices import training_device
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.train_checks import check_precision

Task = TypeVar("Task", bound=Hashable)

TRIES = 4
"""How many workers may die over one task."""
_SECONDS_BETWEEN_LINES = 60.0


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


def worker_device(config: ModelOptions) -> str:
    """The device of a worker, which can compute in the precision that is wanted.

    Raises:
        UsageError: it has no such device, or it cannot.
    """
    device = training_device(config.devices)
    check_precision(config.precision, device)
    return device


def done_on_ray(
    worker_class: type[Any],
    work: Any,
    tasks: Sequence[Task],
    options: EngineOptions,
    devices: Sequence[str],
    told: Callable[[Task], str],
) -> Iterator[tuple[Task, Any]]:
    """Every task with its result, in the order in which they end.

    Args:
        worker_class: What a worker is; made with ``work`` alone.
        work: What all workers are told.
        tasks: What is to be done.
        options: Which cluster, and how many workers.
        devices: What ``--devices`` says; ``cpu`` alone keeps workers from GPUs.
        told: A task in words.

    Raises:
        UsageError: the cluster cannot be reached.
        TrainingError: several workers died over the same task, or while they loaded the model.
        FtcotError: what a worker raised.
    """
    with _cluster(options.ray_address) as ray:
        there = ray.cluster_resources()
        on_gpus = tuple(devices) != ("cpu",) and "GPU" in there
        workers = options.ray_workers or max(1, int(there.get("GPU" if on_gpus else "CPU", 0)))
        remote = ray.remote(num_cpus=1, num_gpus=int(on_gpus))(worker_class)
        yield from _Pool(ray, remote, ray.put(work), told).results(tasks, min(workers, len(tasks)))


class _Pool(Generic[Task]):
    """Workers that are given one task after another."""

    def __init__(self, ray: Any, worker_class: Any, work: Any, told: Callable[[Task], str]) -> None:
        self._ray = ray
        self._worker_class = worker_class
        self._work = work
        self._told = told
        self._busy: dict[Any, tuple[Any, Task | None]] = {}
        """By the promise of what a worker is doing: the worker, and its task; None while it loads."""
        self._deaths: Counter[Task | None] = Counter()

    def results(self, tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, Any]]:
        """Every task with its result."""
        todo, idle, missing = list(reversed(tasks)), [], len(tasks)
        for _ in range(workers):
            self._start()
        while missing:
            worker, task, result = self._next()
            if worker is None:  # it died
                todo += [] if task is None else [task]
            else:
                idle.append(worker)
            if worker is not None and task is not None:
                missing -= 1
                yield task, result
            while idle and todo:
                worker, task = idle.pop(), todo.pop()
                self._busy[worker.do.remote(task)] = (worker, task)

    def _start(self) -> None:
        worker = self._worker_class.remote(self._work)
        self._busy[worker.load.remote()] = (worker, None)

    def _next(self) -> tuple[Any, Task | None, Any]:
        """A worker that is free now, the task it had, and the result; a dead worker is None."""
        while not (done := self._ray.wait(list(self._busy), timeout=_SECONDS_BETWEEN_LINES)[0]):
            if all(task is None for _, task in self._busy.values()):
                say("no worker is ready yet: the cluster may be busy")
        worker, task = self._busy.pop(done[0])
        try:
            return worker, task, self._ray.get(done[0])
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayActorError as error:
            self._deaths[task] += 1
            what = "loading the model" if task is None else self._told(task)
            if self._deaths[task] >= TRIES:
                raise TrainingError(
                    f"{TRIES} workers died over it: {error}", where=what, remedy="see the logs of Ray"
                ) from None
            say(f"a worker died over {what}; another one takes its place")
            self._start()
            return None, task, None


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
