"""Random ensemble: a task's score is the mean estimate over the random subsets that contain it (GradEx)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.selection.subsets import Subset, indicators, target_losses


def ensemble_scores(
    subsets: Sequence[Subset], losses: Float[ndarray, "subsets tasks"], target: int | None = None
) -> Float[ndarray, " tasks"]:
    """Mean loss of the target over the subsets that contain a task, in nats a token; lower is better.

    Args:
        subsets: Random subsets.
        losses: Estimated losses of every task for each of them.
        target: The task whose loss counts; None for the mean over all.

    Returns:
        Scores; NaN for a task that no subset contains.

    Raises:
        UsageError: there are no subsets, or losses are not those of these subsets.
    """
    if not subsets or len(subsets) != len(losses):
        raise UsageError(f"{len(losses)} losses cannot be those of {len(subsets)} subsets")
    held = indicators(subsets, losses.shape[1])
    count = held.sum(axis=0)
    total = held.T @ target_losses(losses, target)
    scores: Float[ndarray, " tasks"] = np.divide(
        total, count, out=np.full(len(count), np.nan), where=count > 0
    )
    return scores


def top_k(scores: Float[ndarray, " tasks"], number: int) -> Subset:
    """The tasks of the lowest scores; of equal ones those of the lower number, and NaN never.

    Raises:
        UsageError: so many tasks have no score.
    """
    scored = int(np.isfinite(scores).sum())
    if not 1 <= number <= scored:
        raise UsageError(f"{number} tasks cannot be selected from {scored} that have a score")
    return tuple(sorted(np.argsort(scores, kind="stable")[:number].tolist()))


def below_threshold(scores: Float[ndarray, " tasks"], threshold: float) -> Subset:
    """The tasks whose score is at most the threshold; NaN never is."""
    return tuple(np.flatnonzero(scores <= threshold).tolist())


def natural_threshold(scores: Float[ndarray, " tasks"]) -> float:
    """The threshold that divides the scores best in two (Otsu's): largest variance between the two groups.

    Raises:
        UsageError: fewer than two different scores.
    """
    ordered = np.sort(scores[np.isfinite(scores)])
    places = np.flatnonzero(np.diff(ordered) > 0) + 1
    if not len(places):
        raise UsageError("scores that are all equal have no natural threshold", where="--threshold")
    below, total = np.cumsum(ordered)[places - 1], ordered.sum()
    share = places / len(ordered)
    gap = below / places - (total - below) / (len(ordered) - places)
    best = places[np.argmax(share * (1 - share) * gap**2)]
    return float((ordered[best - 1] + ordered[best]) / 2)
