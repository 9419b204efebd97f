"""What estimators work on: projected gradients and losses of train and dev samples at each point."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from finetune_cot.artifacts.gradient_store import GradientStore
from finetune_cot.errors import DataError

Subset = tuple[int, ...]


@dataclass(frozen=True)
class Features:
    """Features of train and dev samples at one or several points of the meta-training."""

    tasks: tuple[str, ...]
    """Sorted; a task's number is its place here."""
    train: Float[ndarray, "points train proj"]
    """Projected gradients of the margin, or of the loss with its sign turned."""
    train_task: Int[ndarray, " train"]
    train_margins: Float[ndarray, "points train"]
    dev: Float[ndarray, "points dev proj"]
    """Projected gradients of the loss."""
    dev_task: Int[ndarray, " dev"]
    dev_losses: Float[ndarray, "points dev"]
    """Nats a token."""
    weight_norms: Float[ndarray, " points"]
    parameters: int
    """Numbers of a gradient before it was projected, D."""

    def at(self, points: Sequence[int]) -> "Features":
        """The same at some of the points."""
        chosen = list(points)
        return Features(
            self.tasks,
            self.train[chosen],
            self.train_task,
            self.train_margins[chosen],
            self.dev[chosen],
            self.dev_task,
            self.dev_losses[chosen],
            self.weight_norms[chosen],
            self.parameters,
        )


def load_features(store: GradientStore, points: Sequence[int] | None = None) -> Features:
    """Read a store's features into memory, in float32.

    Raises:
        DataError: there are no train or no dev samples.
    """
    chosen = list(range(len(store.header.points)) if points is None else points)
    is_dev = np.asarray(store.is_dev)
    train, dev = np.flatnonzero(~is_dev), np.flatnonzero(is_dev)
    for rows, kind in ((train, "training"), (dev, "dev")):
        if not len(rows):
            raise DataError(
                f"the gradients hold no {kind} samples", remedy="see --dev-fraction of `ftcot grads`"
            )
    # A loss falls where its margin rises, so that the two gradients point in opposite ways.
    sign = -1.0 if store.header.train_gradient == "loss" else 1.0
    return Features(
        tasks=tuple(store.header.tasks),
        train=np.stack([sign * store.features(train, point) for point in chosen]),
        train_task=np.asarray(store.task)[train],
        train_margins=np.asarray(store.margins)[train][:, chosen].T,
        dev=np.stack([store.features(dev, point) for point in chosen]),
        dev_task=np.asarray(store.task)[dev],
        dev_losses=np.asarray(store.losses)[dev][:, chosen].T,
        weight_norms=np.asarray(store.weight_norms)[chosen],
        parameters=int(store.header.parameters),
    )


def task_means(values: ndarray, sample_task: Int[ndarray, " samples"], tasks: int) -> ndarray:
    """Mean over each task's samples, ``[tasks, ...]`` of ``[samples, ...]``; NaN for a task without any."""
    counts = np.bincount(sample_task, minlength=tasks).astype(np.float64)
    sums = np.zeros((tasks, *values.shape[1:]))
    np.add.at(sums, sample_task, values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: ndarray = sums / counts.reshape(-1, *[1] * (values.ndim - 1))
    return means
