"""A kernel surrogate: losses as a smooth function of the tasks in a subset (RBF kernel ridge, ICLR 2026)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.selection.subsets import Subset, indicators

BANDWIDTHS = tuple(2.0**power for power in range(-2, 6))
"""Candidates, in multiples of the median distance between two different subsets."""
RIDGES = tuple(10.0**power for power in range(-6, 2))
"""Candidates for the ridge, beside kernel values of 1 on the diagonal."""
MIN_SUBSETS = 4


@dataclass(frozen=True)
class KernelSurrogate:
    """A fitted surrogate of every task's loss."""

    models: tuple[tuple[Any, Int[ndarray, " some_tasks"]], ...]
    """scikit-learn's regressors, each with the tasks whose losses it gives: those of one bandwidth."""
    centre: Float[ndarray, " tasks"]
    scale: Float[ndarray, " tasks"]
    bandwidths: Float[ndarray, " tasks"]
    """Of the kernel exp(-|x - y|^2 / (2 bandwidth^2)), where |x - y|^2 counts differing tasks."""
    ridges: Float[ndarray, " tasks"]
    explained: Float[ndarray, " tasks"]
    """Share of each loss's variance that predictions for held-out subsets explain; at most 1."""

    def estimate(self, subsets: Sequence[Subset]) -> Float[ndarray, "subsets tasks"]:
        """Predicted losses, nats a token; it can stand as the estimate of any way of selecting."""
        held = indicators(subsets, len(self.centre))
        losses = np.empty_like(held)
        for model, tasks in self.models:
            losses[:, tasks] = self.centre[tasks] + self.scale[tasks] * model.predict(held)
        return losses


def fit_surrogate(
    subsets: Sequence[Subset], losses: Float[ndarray, "subsets tasks"], *, folds: int = 5, seed: int = 0
) -> KernelSurrogate:
    """Fit RBF kernel ridge regressions on indicator vectors; bandwidth and ridge by cross-validation.

    Args:
        subsets: Subsets whose losses are known or estimated.
        losses: Losses of every task for each of them.
        folds: Parts of the cross-validation, at most as many as there are subsets.
        seed: Of the division into parts.

    Raises:
        UsageError: too few subsets, or losses are not those of these subsets, or not numbers.
    """
    from sklearn.kernel_ridge import KernelRidge

    if len(subsets) != len(losses) or len(subsets) < MIN_SUBSETS:
        raise UsageError(
            f"{len(subsets)} subsets with {len(losses)} losses cannot make a surrogate",
            remedy=f"give at least {MIN_SUBSETS} subsets and a row of losses for each",
        )
    if not np.isfinite(losses).all():
        raise UsageError(f"{int((~np.isfinite(losses)).sum())} losses are no finite numbers")
    held = indicators(subsets, losses.shape[1])
    centre, scale = losses.mean(axis=0), losses.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (losses - centre) / scale
    widths = _median_distance(held) * np.array(BANDWIDTHS)
    errors = _held_out_errors(held, standard, widths, folds, seed)
    best = errors.reshape(-1, errors.shape[-1]).argmin(axis=0)
    width, ridge = np.unravel_index(best, errors.shape[:2])
    models = []
    for number in np.unique(width):
        tasks = np.flatnonzero(width == number)
        model = KernelRidge(
            alpha=np.array(RIDGES)[ridge[tasks]], kernel="rbf", gamma=_gamma(float(widths[number]))
        )
        models.append((model.fit(held, standard[:, tasks]), tasks))
    return KernelSurrogate(
        models=tuple(models),
        centre=centre,
        scale=scale,
        bandwidths=widths[width],
        ridges=np.array(RIDGES)[ridge],
        explained=1 - errors[width, ridge, np.arange(losses.shape[1])],
    )


def _held_out_errors(
    held: Float[ndarray, "subsets tasks"],
    losses: Float[ndarray, "subsets tasks"],
    widths: Float[ndarray, " widths"],
    folds: int,
    seed: int,
) -> Float[ndarray, "widths ridges tasks"]:
    """Mean squared error of held-out subsets by bandwidth and ridge; one decomposition serves all ridges."""
    from scipy.spatial.distance import cdist
    from sklearn.model_selection import KFold

    parts = list(KFold(min(folds, len(held)), shuffle=True, random_state=seed).split(held))
    squared = cdist(held, held, "sqeuclidean")
    errors = np.zeros((len(widths), len(RIDGES), losses.shape[1]))
    for place, width in enumerate(widths):
        kernel = np.exp(-_gamma(float(width)) * squared)
        for fitted, left_out in parts:
            values, vectors = np.linalg.eigh(kernel[np.ix_(fitted, fitted)])
            onto = kernel[np.ix_(left_out, fitted)] @ vectors
            rotated = vectors.T @ losses[fitted]
            for number, ridge in enumerate(RIDGES):
                predicted = onto @ (rotated / (values + ridge)[:, None])
                errors[place, number] += np.square(predicted - losses[left_out]).sum(axis=0)
    return errors / len(held)


def _gamma(width: float) -> float:
    return 1 / (2 * width**2)


def _median_distance(held: Float[ndarray, "subsets tasks"]) -> float:
    from scipy.spatial.distance import pdist

    distances = pdist(held)
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0
