"""Subsets of tasks as a matrix, which samples a task has, and what must hold before anything is computed."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int

from finetune_cot.errors import DataError


def subset_matrix(subsets: Sequence[tuple[int, ...]], tasks: int) -> Bool[np.ndarray, "subsets tasks"]:
    """Which tasks each subset holds.

    Raises:
        DataError: a task number is not one of the ``tasks``.
    """
    holds = np.zeros((len(subsets), tasks), dtype=bool)
    for row, subset in enumerate(subsets):
        for task in subset:
            if not 0 <= task < tasks:
                raise DataError(
                    f"subset {row} holds task {task}, which is not there",
                    remedy=f"tasks are numbered from 0 to {tasks - 1}",
                )
            holds[row, task] = True
    return holds


def samples_by_task(
    sample_task: Int[np.ndarray, " samples"], tasks: int
) -> list[slice] | list[Int[np.ndarray, " some"]]:
    """Where each task's samples are; as slices, which copy nothing, where the tasks are in order."""
    if (np.diff(sample_task) >= 0).all():
        bounds = np.searchsorted(sample_task, np.arange(tasks + 1)).tolist()
        return [slice(start, end) for start, end in pairwise(bounds)]
    order = np.argsort(sample_task, kind="stable")
    return np.split(order, np.searchsorted(sample_task[order], np.arange(1, tasks)))


def check_samples(
    subsets: Sequence[tuple[int, ...]],
    holds: Bool[np.ndarray, "subsets tasks"],
    task_samples: Int[np.ndarray, " tasks"],
) -> None:
    """See that every subset has samples.

    Raises:
        DataError: one has none; names it.
    """
    empty = np.flatnonzero(holds @ task_samples == 0)
    if len(empty):
        tasks = " ".join(map(str, subsets[empty[0]])) or "none"
        raise DataError(
            f"subset {empty[0]} (tasks: {tasks}) has no samples",
            remedy="leave it out, or take gradients for its tasks",
        )


def check_finite(values: np.ndarray, name: str, axis: int = 0) -> None:
    """See that numbers are finite.

    Args:
        values: The numbers.
        name: What they are, in the plural.
        axis: The axis of samples.

    Raises:
        DataError: some are not; names how many samples, and the first of them.
    """
    rest = tuple(number for number in range(values.ndim) if number != axis)
    # A sum shows what is not finite without another copy; float64 does not overflow on the way.
    bad = np.flatnonzero(~np.isfinite(values.sum(axis=rest, dtype=np.float64)))
    if len(bad):
        raise DataError(
            f"the {name} of {len(bad)} of {values.shape[axis]} samples are not finite, first {bad[0]}",
            remedy="take the gradients again in float32",
        )
