"""What every way of selecting shares: subsets of tasks, their losses, and which loss is the target.

Everything in this package speaks of losses: **lower is better**, for estimates as for scores of tasks, so
that the best task is always the first in ascending order.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.errors import UsageError

Subset = tuple[int, ...]
"""Numbers of tasks, sorted."""

Estimate = Callable[[Sequence[Subset]], Float[ndarray, "subsets tasks"]]
"""Every task's estimated loss, in nats a token, after training on each subset."""


def indicators(subsets: Sequence[Subset], tasks: int) -> Float[ndarray, "subsets tasks"]:
    """1 where a subset holds a task, 0 elsewhere.

    Raises:
        UsageError: a subset holds a number that is no task's.
    """
    held = np.zeros((len(subsets), tasks))
    for row, subset in enumerate(subsets):
        for task in subset:
            if not 0 <= task < tasks:
                raise UsageError(f"subset {row} holds task {task}, but there are {tasks}, from 0")
            held[row, task] = 1.0
    return held


def target_losses(losses: Float[ndarray, "subsets tasks"], target: int | None) -> Float[ndarray, " subsets"]:
    """The losses to be lowered: those of the target task, or their mean over the tasks where it is None.

    Tasks without any loss, since they have no dev samples, are left out of the mean.

    Raises:
        UsageError: there is no such task, or a loss is not a number.
    """
    tasks = losses.shape[1]
    if target is not None and not 0 <= target < tasks:
        raise UsageError(f"there is no task {target}: there are {tasks}, from 0", where="target task")
    missing = np.isnan(losses).all(axis=0)
    known = losses if missing.all() else losses[:, ~missing]
    chosen: Float[ndarray, " subsets"] = known.mean(axis=1) if target is None else losses[:, target]
    if not np.isfinite(chosen).all():
        row = int(np.flatnonzero(~np.isfinite(chosen))[0])
        raise UsageError(
            f"the loss of subset {row} is no finite number",
            where="mean over the tasks" if target is None else f"task {target}",
            remedy="leave that subset out, or choose another target task",
        )
    return chosen
