"""Subsets of tasks: drawn at random, or every one that leaves a task out."""

import math

import numpy as np

from finetune_cot.errors import UsageError

Subset = tuple[int, ...]
"""Numbers of tasks, sorted."""


def random_subsets(tasks: int, size: int, count: int, seed: int) -> list[Subset]:
    """Different subsets of one size, each as likely as any other; fewer are the first of more.

    Args:
        tasks: Number of tasks to draw from.
        size: Tasks of a subset.
        count: Number of subsets.
        seed: Seed of the draw.

    Raises:
        UsageError: there are not so many.
    """
    possible = math.comb(tasks, size)
    if count > possible:
        raise UsageError(
            f"{count} subsets are wanted, but {tasks} tasks have only {possible} of {size}",
            where="--number-of-subsets",
            remedy=f"give at most {possible}, or another --subset-size",
        )
    random = np.random.default_rng([seed, tasks, size])
    drawn: dict[Subset, None] = {}
    while len(drawn) < count:
        drawn[tuple(sorted(random.permutation(tasks)[:size].tolist()))] = None
    return list(drawn)


def leave_one_out(tasks: int) -> list[Subset]:
    """All tasks but one, for each task.

    Raises:
        UsageError: there is nothing left of a single task.
    """
    if tasks < 2:
        raise UsageError("a single task cannot be left out: nothing would remain", where="--leave-one-out")
    return [tuple(task for task in range(tasks) if task != left) for left in range(tasks)]


def subset_size(text: str, tasks: int) -> int:
    """Tasks of a subset, from a count such as ``3`` or a share such as ``0.5``.

    Raises:
        UsageError: it is neither, or no subset has that size.
    """
    wrong = UsageError(
        f"{text!r} is neither a number of tasks from 1 to {tasks} nor a share of them such as 0.5",
        where="--subset-size",
    )
    try:
        count = int(text)
    except ValueError:
        try:
            share = float(text)
        except ValueError:
            raise wrong from None
        if not 0 < share <= 1:
            raise wrong from None
        return max(round(share * tasks), 1)
    if not 1 <= count <= tasks:
        raise wrong
    return count
