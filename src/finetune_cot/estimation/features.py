"""What estimators work on: projected gradients and losses of train and dev samples at each point.

Of dev samples, and of training samples for most estimators, the means over tasks are enough. They are
gathered as the store is read, block by block; rows of training samples are read at one point at a time, where
they are needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from finetune_cot.artifacts.gradient_store import GradientStore
from finetune_cot.errors import DataError, UsageError
from finetune_cot.estimation.memory import free_memory

Subset = tuple[int, ...]

BLOCK_NUMBERS = 1 << 21
"""Numbers that are read at a time."""


@dataclass(frozen=True)
class TaskGradients:
    """Gradients of each task's samples; NaN for a task without any."""

    means: Float[ndarray, "points tasks proj"]
    directions: Float[ndarray, "tasks proj"]
    """Means of the gradients at the last point, each divided by its norm."""


@dataclass(frozen=True)
class Features:
    """Features of train and dev samples at one or several points of the meta-training."""

    tasks: tuple[str, ...]
    """Sorted; a task's number is its place here."""
    train_rows: Callable[[int], Float[ndarray, "train proj"]]
    """Reads the projected gradients of the margin, or of the loss with its sign turned, at a point."""
    train_task: Int[ndarray, " train"]
    """In ascending order, which is that of the rows."""
    train_margins: Float[ndarray, "points train"]
    train: TaskGradients
    """Of the same gradients as the rows."""
    dev: TaskGradients
    """Of the loss."""
    dev_losses: Float[ndarray, "points tasks"]
    """Means over a task's samples, nats a token; NaN for a task without any."""
    weight_norms: Float[ndarray, " points"]
    parameters: int
    """Numbers of a gradient before it was projected, D."""

    @property
    def points(self) -> int:
        """Number of points."""
        return len(self.weight_norms)


def load_features(store: GradientStore, points: Sequence[int] | None = None) -> Features:
    """Read a store's features, in memory that does not grow with its samples until rows are asked for.

    Rows raise `UsageError` where they need more memory than is free.

    Raises:
        DataError: there are no train or no dev samples.
    """
    chosen = list(range(len(store.header.points)) if points is None else points)
    is_dev, task, tasks = np.asarray(store.is_dev), np.asarray(store.task), len(store.header.tasks)
    for there, kind in ((~is_dev, "training"), (is_dev, "dev")):
        if not there.any():
            raise DataError(
                f"the gradients hold no {kind} samples", remedy="see --dev-fraction of `ftcot grads`"
            )
    # A loss falls where its margin rises, so that the two gradients point in opposite ways.
    sign = -1.0 if store.header.train_gradient == "loss" else 1.0
    train = np.flatnonzero(~is_dev)
    train = train[np.argsort(task[train], kind="stable")]
    means, directions = _means_of_tasks(store, chosen, task + tasks * is_dev, 2 * tasks)
    losses = np.asarray(store.losses)[is_dev][:, chosen]

    def rows(point: int) -> Float[ndarray, "train proj"]:
        _check_memory(len(train), store.header.width)
        found = store.features(train, chosen[point])
        found *= sign
        return found

    return Features(
        tasks=tuple(store.header.tasks),
        train_rows=rows,
        train_task=task[train],
        train_margins=np.asarray(store.margins)[train][:, chosen].T,
        train=TaskGradients(sign * means[:, :tasks], sign * directions[:tasks]),
        dev=TaskGradients(means[:, tasks:], directions[tasks:]),
        dev_losses=task_means(losses, task[is_dev], tasks).T,
        weight_norms=np.asarray(store.weight_norms)[chosen],
        parameters=int(store.header.parameters),
    )


def task_means(
    values: Float[ndarray, "samples numbers"], sample_task: Int[ndarray, " samples"], tasks: int
) -> Float[ndarray, "tasks numbers"]:
    """Mean over each task's samples; NaN for a task without any."""
    return _divided(_sums(values, sample_task, tasks), sample_task)


def unit_rows(values: Float[ndarray, "rows proj"]) -> Float[ndarray, "rows proj"]:
    """Rows of norm one; those of zeros as they are."""
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit: Float[ndarray, "rows proj"] = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
    return unit


def _means_of_tasks(
    store: GradientStore, points: Sequence[int], label: Int[ndarray, " samples"], labels: int
) -> tuple[Float[ndarray, "points labels proj"], Float[ndarray, "labels proj"]]:
    """Means of gradients over the samples of each label, and of their directions at the last point."""
    sums = np.zeros((len(points) + 1, labels, store.header.width))
    size = max(1, BLOCK_NUMBERS // store.header.width)
    for start in range(0, len(label), size):
        block = slice(start, start + size)
        for place, point in enumerate(points):
            rows = store.features(block, point)
            sums[place] += _sums(rows, label[block], labels)
        sums[-1] += _sums(unit_rows(rows), label[block], labels)
    means = _divided(sums, label)
    return means[:-1], means[-1]


def _sums(values: ndarray, label: Int[ndarray, " samples"], labels: int) -> ndarray:
    """Sums over the samples of each label, ``[labels, ...]``."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    sums = np.zeros((labels, values.shape[1]))
    if len(order):
        sums[label[order][starts]] = np.add.reduceat(values[order], starts, axis=0, dtype=np.float64)
    return sums


def _divided(sums: ndarray, label: Int[ndarray, " samples"]) -> ndarray:
    """Means of sums ``[..., labels, proj]``."""
    counts = np.bincount(label, minlength=sums.shape[-2]).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: ndarray = sums / counts[:, None]
    return means


def _check_memory(rows: int, width: int) -> None:
    # A fifth more is for what is computed from them.
    needed, free = round(1.2 * 4 * rows * width), free_memory()
    if free is not None and needed > free:
        raise UsageError(
            f"the gradients of {rows} training samples need {needed / 1e9:.1f} GB at a point, "
            f"and {free / 1e9:.1f} GB of memory are free",
            remedy="use a smaller --project-dim, fewer samples, or an estimator by task means (task-cosine)",
        )
