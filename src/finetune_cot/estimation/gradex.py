"""GradEx (Li et al. 2024): logistic regression on projected gradients, dev losses to first order."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.estimation.estimates import Estimates, EstimatorSettings
from finetune_cot.estimation.features import Features, Subset
from finetune_cot.estimation.logistic import solve_subsets

SEED_C = 1e-4
"""C of the published scripts' logistic regression."""
SEED_LABELS = 0.7
"""Share of samples whose random label is one."""
SEED_SCALE = 0.1
"""Step beside the weights' norm, where the published scripts' way is followed and no scale is given."""


def gradex(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Estimated losses: the regression of method.md section 2 at each point, and the mean over the points.

    Raises:
        DataError: features are not finite, or a subset has no samples.
        UsageError: the ridge is not above zero.
    """
    losses = []
    for point in range(features.points):
        steps = gradex_steps(features, point, subsets, settings)
        losses.append(first_order_losses(features, point, steps))
    return Estimates(np.mean(losses, axis=0), "gradex", is_loss=True, steps=steps)


def gradex_steps(
    features: Features, point: int, subsets: Sequence[Subset], settings: EstimatorSettings
) -> Float[ndarray, "subsets proj"]:
    """Projected step theta of each subset at one point; P theta leads from that point to estimated weights.

    Raises:
        DataError: features are not finite, or a subset has no samples.
        UsageError: the ridge is not above zero.
    """
    theta = solve_subsets(
        features.train_rows(point),
        features.train_task,
        subsets,
        ridge=settings.ridge,
        margins=features.train_margins[point] if settings.keep_margins else None,
    ).theta
    return rescaled(theta, features, point, settings.scale)


def seed(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """The published scripts' way, at the last point: margins dropped, C = 1e-4, steps of one norm.

    Their random labels turn the sign of a feature and of what it is to predict, which changes nothing but for
    the intercept that liblinear fits and penalizes as a weight like the others: a feature that is the label.
    It is left out of the step, as they leave it. They hold a fifth of the samples back to look at; we do not.
    """
    point = features.points - 1
    labels = np.random.default_rng(settings.seed).random(len(features.train_task)) < SEED_LABELS
    intercept = np.where(labels, 1, -1).astype(np.float32)
    rows = np.column_stack([features.train_rows(point), intercept])
    counts = np.bincount(features.train_task, minlength=len(features.tasks))
    sizes = np.array([int(counts[list(subset)].sum()) for subset in subsets])
    theta = np.empty((len(subsets), rows.shape[1] - 1))
    for size in np.unique(sizes):
        where = np.flatnonzero(sizes == size)
        solved = solve_subsets(
            rows,
            features.train_task,
            [subsets[place] for place in where.tolist()],
            ridge=1 / (SEED_C * max(int(size), 1)),
        )
        theta[where] = solved.theta[:, :-1]
    steps = rescaled(theta, features, point, settings.scale or SEED_SCALE)
    return Estimates(first_order_losses(features, point, steps), "seed", is_loss=True, steps=steps)


def step_norm(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """The norm of GradEx's step alone: what an estimator must do better than."""
    theta = solve_subsets(
        features.train_rows(features.points - 1),
        features.train_task,
        subsets,
        ridge=settings.ridge,
        margins=None,
    ).theta
    norms = np.linalg.norm(theta, axis=1)
    return Estimates(np.repeat(-norms[:, None], len(features.tasks), axis=1), "norm", is_loss=False)


def first_order_losses(
    features: Features, point: int, theta: Float[ndarray, "subsets proj"]
) -> Float[ndarray, "subsets tasks"]:
    """Each task's dev loss after a step, to first order: L + g . P theta, which is L + (P^T g) . theta."""
    losses: Float[ndarray, "subsets tasks"] = features.dev_losses[point] + theta @ features.dev.means[point].T
    return losses


def rescaled(
    theta: Float[ndarray, "subsets proj"], features: Features, point: int, scale: float | None
) -> Float[ndarray, "subsets proj"]:
    """Steps of the norm ``scale`` times that of the weights; as they are without a scale.

    The norm of P theta is that of theta times the square root of D / d, on average over P.
    """
    if scale is None:
        return theta
    lifted = np.linalg.norm(theta, axis=1) * np.sqrt(features.parameters / theta.shape[1])
    wanted = scale * float(features.weight_norms[point])
    factors = np.divide(wanted, lifted, out=np.zeros_like(lifted), where=lifted > 0)
    steps: Float[ndarray, "subsets proj"] = theta * factors[:, None]
    return steps
