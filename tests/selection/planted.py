"""Made-up losses with a structure that selecting must find again."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.selection.subsets import Estimate, Subset, indicators


def random_subsets(tasks: int, size: int, number: int, seed: int = 0) -> list[Subset]:
    random = np.random.default_rng(seed)
    return [tuple(sorted(random.choice(tasks, size, replace=False).tolist())) for _ in range(number)]


def additive(effects: Float[ndarray, "tasks tasks"], level: float = 2.0, noise: float = 0.0) -> Estimate:
    """Losses to which each task of a subset (column of the effects) adds something for every task (row)."""

    def estimate(subsets: Sequence[Subset]) -> Float[ndarray, "subsets tasks"]:
        clean = level + indicators(subsets, len(effects)) @ effects.T
        return clean + noise * np.random.default_rng(1).normal(size=clean.shape)

    return estimate


def harmful(tasks: int, bad: Sequence[int]) -> Float[ndarray, "tasks tasks"]:
    """Effects of tasks that all lower every loss, but for the bad ones."""
    effects = np.full((tasks, tasks), -0.1)
    effects[:, list(bad)] = 0.2
    return effects


def blocks(sizes: Sequence[int], between: float = 0.1) -> Float[ndarray, "tasks tasks"]:
    """Effects of tasks that lower the losses of their own block and raise those of the others."""
    block = np.repeat(np.arange(len(sizes)), sizes)
    return np.where(block[:, None] == block[None, :], -0.2, between)
