"""Measures of agreement between estimates and truth, task by task and averaged over the tasks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

TOO_FEW = 3
"""Fewer subsets have no order worth telling of."""
RESAMPLES = 1000
STRATA = ("all", "holding", "not holding")
"""Which subsets are looked at for a target task: all, those that hold it, those that do not."""


@dataclass(frozen=True)
class Agreement:
    """How well an estimator agrees with the truth: means over the target tasks, None where there are none."""

    subsets: float
    """Subsets of a target task."""
    spearman: float | None
    """Rank correlation, the linear datamodeling score; 0 for equal estimates, which order nothing."""
    interval: tuple[float, float] | None
    """95 % bootstrap interval of it, over subsets."""
    by_task: tuple[float | None, ...]
    """Spearman's correlation for each target task."""
    pearson: float | None
    relative_error_mean: float | None
    """Mean of |estimate - truth| / truth; None for scores, which are no losses."""
    relative_error_max: float | None


def strata(held: Bool[ndarray, "subsets tasks"]) -> Mapping[str, Bool[ndarray, "subsets tasks"]]:
    """For each of `STRATA`, the subsets that are looked at for each target task, by which tasks they hold."""
    return dict(zip(STRATA, (np.ones_like(held), held, ~held), strict=True))


def agreement(
    estimate: Float[ndarray, "subsets tasks"],
    truth: Float[ndarray, "subsets tasks"],
    chosen: Bool[ndarray, "subsets tasks"],
    is_loss: bool,
    seed: int = 0,
) -> Agreement:
    """Compare estimates with the truth over the chosen subsets of each target task.

    Tasks with fewer than three such subsets, or whose truths are all equal, are left out of the means.

    Args:
        estimate: Estimates; the lower, the better.
        truth: Measured losses, nats a token.
        chosen: Subsets that count for each task; those with NaN on either side never do.
        is_loss: Whether estimates are losses, whose relative errors mean something.
        seed: Of the bootstrap.
    """
    known = chosen & np.isfinite(estimate) & np.isfinite(truth)
    ordered = [task for task in range(truth.shape[1]) if _has_order(truth[known[:, task], task])]
    if not ordered:
        return Agreement(0.0, None, None, (None,) * truth.shape[1], None, None, None)
    random = np.random.default_rng(seed)
    weights = random.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=RESAMPLES)
    weights = np.vstack([np.ones(len(truth)), weights])  # the first is the sample itself
    ranked: dict[int, Float[ndarray, " resamples"]] = {}
    linear, errors = [], []
    for task in ordered:
        rows = known[:, task]
        guessed, measured = estimate[rows, task], truth[rows, task]
        ranked[task] = _rank_correlation(guessed, measured, weights[:, rows])
        linear.append(_correlation(guessed[None], measured[None], weights[:1, rows])[0])
        errors.append(np.abs(guessed - measured) / np.abs(measured))
    resampled = _mean_of_known(np.array(list(ranked.values())))
    low, high = np.nanquantile(resampled[1:], [0.025, 0.975])
    by_task = tuple(float(ranked[task][0]) if task in ranked else None for task in range(truth.shape[1]))
    return Agreement(
        subsets=float(known[:, ordered].sum(axis=0).mean()),
        spearman=float(resampled[0]),
        interval=(float(low), float(high)),
        by_task=by_task,
        pearson=float(np.mean(linear)),
        relative_error_mean=float(np.mean([error.mean() for error in errors])) if is_loss else None,
        relative_error_max=float(max(error.max() for error in errors)) if is_loss else None,
    )


def _has_order(truth: Float[ndarray, " subsets"]) -> bool:
    return len(truth) >= TOO_FEW and bool(np.ptp(truth) > 0)


def _mean_of_known(values: Float[ndarray, "tasks resamples"]) -> Float[ndarray, " resamples"]:
    """Means over the tasks without NaN; NaN where there is nothing else."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    means: Float[ndarray, " resamples"] = np.divide(
        total, count, out=np.full_like(total, np.nan), where=count > 0
    )
    return means


def _rank_correlation(
    left: Float[ndarray, " subsets"],
    right: Float[ndarray, " subsets"],
    weights: Float[ndarray, "resamples subsets"],
) -> Float[ndarray, " resamples"]:
    return _correlation(_ranks(left, weights), _ranks(right, weights), weights)


def _ranks(
    values: Float[ndarray, " subsets"], weights: Float[ndarray, "resamples subsets"]
) -> Float[ndarray, "resamples subsets"]:
    """Rank of each value in each resample, in which it stands as often as its weight; ties share theirs."""
    below = (values[None, :] < values[:, None]) + 0.5 * (values[None, :] == values[:, None])
    ranks: Float[ndarray, "resamples subsets"] = weights @ below.T
    return ranks


def _correlation(
    left: Float[ndarray, "resamples subsets"],
    right: Float[ndarray, "resamples subsets"],
    weights: Float[ndarray, "resamples subsets"],
) -> Float[ndarray, " resamples"]:
    """Pearson's correlation with weights; 0 where all of the left are equal, NaN where it is not defined."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    left = left - (weights * left).sum(axis=1, keepdims=True) / total
    right = right - (weights * right).sum(axis=1, keepdims=True) / total
    product = (weights * left * right).sum(axis=1)
    varies = [(weights * side**2).sum(axis=1) for side in (left, right)]
    spread = np.sqrt(varies[0] * varies[1])
    found: Float[ndarray, " resamples"] = np.divide(
        product, spread, out=np.full_like(product, np.nan), where=spread > 1e-12
    )
    found[(varies[0] < 1e-12) & (varies[1] > 1e-12)] = 0
    return found.clip(-1, 1)
