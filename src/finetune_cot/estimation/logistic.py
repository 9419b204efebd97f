"""Regularized logistic regressions on many unions of tasks, solved together as matrix work.

For a subset S of tasks, with margins m and features phi (GradEx):

    theta_S = argmin (1/|S|) sum_{i in S} log(1 + exp(-(m_i + phi_i . theta))) + (ridge/2) |theta|^2

All subsets take their quasi-Newton steps at once. A task's samples meet exactly the subsets that hold it, so
each step is two matrix products a task. The variables are first whitened by the curvature of all samples
together, after which a few dozen steps suffice whatever the spectrum of the features is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from finetune_cot.errors import UsageError
from finetune_cot.estimation.lbfgs import minimize_rows
from finetune_cot.estimation.subset_matrix import (
    check_finite,
    check_samples,
    samples_by_task,
    subset_matrix,
)

BLOCK_SUBSETS = 256
"""Subsets that are worked on at once: beyond this, products get no faster and memory grows."""

MAX_STEPS = 500

COARSE = 1e-3
"""Residual down to which float32 is exact enough; float64 does the rest."""

LEAST_CURVATURE = 0.001
"""Least curvature of a sample's loss in the whitening: samples far on the right side may turn back."""


@dataclass(frozen=True)
class LogisticSolutions:
    """What fits each subset.

    Attributes:
        theta: ``[subsets, proj]``, float64.
        steps: Quasi-Newton steps of the slowest subset.
        residual: Norm of the gradient in whitened variables over its norm at zero, of the worst subset.
    """

    theta: Float[np.ndarray, "subsets proj"]
    steps: int
    residual: float


def solve_subsets(
    features: Float[np.ndarray, "samples proj"],
    sample_task: Int[np.ndarray, " samples"],
    subsets: Sequence[tuple[int, ...]],
    *,
    ridge: float,
    margins: Float[np.ndarray, " samples"] | None = None,
    tolerance: float = 1e-8,
) -> LogisticSolutions:
    """Solve the regression of every subset.

    Args:
        features: Feature phi of each sample; where labels flip signs, already flipped.
        sample_task: Task number of each sample.
        subsets: Task numbers of each subset.
        ridge: The weight lambda of |theta|^2 / 2 beside the mean loss.
        margins: Offsets m ``[samples]``; zero where None.
        tolerance: Residual at which to stop.

    Raises:
        DataError: features or margins are not finite, or a subset has no samples.
        UsageError: ``ridge`` is not above zero.
    """
    if not (np.isfinite(ridge) and ridge > 0):
        raise UsageError(
            f"the ridge {ridge} is not above zero", remedy="give a positive number, such as 0.03"
        )
    offsets = np.zeros(len(features)) if margins is None else np.asarray(margins, dtype=np.float64)
    check_finite(features, "features")
    check_finite(offsets, "margins")
    tasks = 1 + max([int(sample_task.max(initial=-1)), *(task for subset in subsets for task in subset)])
    rows = samples_by_task(sample_task, tasks)
    holds = subset_matrix(subsets, tasks)
    check_samples(subsets, holds, np.array([len(of_task) for of_task in rows]))
    reduced, basis = _row_space(np.asarray(features, dtype=np.float64))
    whiten = _whitening(reduced, offsets, ridge)
    everything = _solve_all(reduced @ whiten, offsets, ridge * whiten.T @ whiten)
    whiten = _whitening(reduced, offsets + reduced @ (whiten @ everything), ridge)
    problem = _problem(reduced @ whiten, offsets, rows, ridge * whiten.T @ whiten)
    del reduced
    theta = np.empty((len(subsets), len(whiten)))
    steps, residual = 0, 0.0
    for start in range(0, len(subsets), BLOCK_SUBSETS):
        block = slice(start, start + BLOCK_SUBSETS)
        theta[block], block_steps, block_residual = _solve_block(problem, holds[block], tolerance)
        steps, residual = max(steps, block_steps), max(residual, block_residual)
    return LogisticSolutions(theta @ (whiten.T if basis is None else whiten.T @ basis), steps, residual)


def _row_space(
    features: Float[np.ndarray, "samples proj"],
) -> tuple[Float[np.ndarray, "samples width"], Float[np.ndarray, "width proj"] | None]:
    """The same features in an orthonormal basis of their row space, where samples are fewer than numbers.

    Every theta_S lies in that space, so nothing is lost.
    """
    samples, proj = features.shape
    if samples >= proj:
        return features, None
    basis, triangle = np.linalg.qr(features.T)
    return triangle.T, basis.T


def _whitening(
    features: Float[np.ndarray, "samples width"], margins: Float[np.ndarray, " samples"], ridge: float
) -> Float[np.ndarray, "width width"]:
    """Variables in which the curvature of all samples together, at these margins, is the identity."""
    chance = expit(-margins)
    weight = np.sqrt(np.maximum(chance * (1 - chance), LEAST_CURVATURE) / len(features))
    weighted = weight[:, None] * features
    curvature = weighted.T @ weighted
    curvature.flat[:: len(curvature) + 1] += ridge
    triangle = np.linalg.cholesky(curvature)
    return np.ascontiguousarray(scipy.linalg.solve_triangular(triangle, np.eye(len(triangle)), lower=True).T)


def _solve_all(
    features: Float[np.ndarray, "samples width"],
    margins: Float[np.ndarray, " samples"],
    penalty: Float[np.ndarray, "width width"],
) -> Float[np.ndarray, " width"]:
    """About what fits all samples together: the curvature there is near that of the subsets' solutions."""
    problem = _Problem((features,), (margins,), penalty)
    holds = np.ones((1, 1), dtype=bool)
    start = np.zeros((1, features.shape[1]))
    norms = np.linalg.norm(problem.gradients(start, holds), axis=1)
    found, _, _ = minimize_rows(
        lambda points, rows: problem.gradients(points, holds[rows]),
        start,
        tolerance=COARSE * norms,
        max_steps=MAX_STEPS,
    )
    point: Float[np.ndarray, " width"] = found[0]
    return point


@dataclass(frozen=True)
class _Problem:
    """The regression in whitened variables, in one type of numbers.

    Attributes:
        features: ``[samples of the task, width]`` of each task.
        margins: ``[samples of the task]`` of each task.
        penalty: Curvature of the ridge in whitened variables ``[width, width]``.
    """

    features: tuple[np.ndarray, ...]
    margins: tuple[np.ndarray, ...]
    penalty: np.ndarray

    def gradients(self, points: np.ndarray, holds: np.ndarray) -> Float[np.ndarray, "rows width"]:
        """Gradients at one point a row, of the subsets that hold the tasks of that row."""
        sums = np.zeros_like(points)
        counts = np.zeros((len(points), 1), points.dtype)
        for task, (features, margins) in enumerate(zip(self.features, self.margins, strict=True)):
            holding = np.flatnonzero(holds[:, task])
            if not (len(holding) and len(margins)):
                continue
            scores = points[holding] @ features.T
            scores += margins
            # The slope of log(1 + exp(-s)) is tanh(s / 2) / 2 - 1/2, which never overflows.
            scores *= 0.5
            np.tanh(scores, out=scores)
            scores -= 1
            sums[holding] += scores @ features
            counts[holding] += len(margins)
        sums /= 2 * counts
        found: Float[np.ndarray, "rows width"] = sums + points @ self.penalty
        return found

    def astype(self, kind: type[np.floating]) -> "_Problem":
        """The same in another type of numbers."""
        return _Problem(
            tuple(values.astype(kind) for values in self.features),
            tuple(values.astype(kind) for values in self.margins),
            self.penalty.astype(kind),
        )


def _problem(
    features: np.ndarray, margins: np.ndarray, rows: Sequence[np.ndarray], penalty: np.ndarray
) -> tuple[_Problem, _Problem]:
    """The regression in float32 and in float64."""
    double = _Problem(
        tuple(features[of_task] for of_task in rows), tuple(margins[of_task] for of_task in rows), penalty
    )
    return double.astype(np.float32), double


def _solve_block(
    problem: tuple[_Problem, _Problem], holds: Bool[np.ndarray, "subsets tasks"], tolerance: float
) -> tuple[Float[np.ndarray, "subsets width"], int, float]:
    """Solve some subsets: most steps in float32, the last few in float64."""
    single, double = problem
    start = np.zeros((len(holds), len(double.penalty)), np.float32)
    norms = np.linalg.norm(single.gradients(start, holds), axis=1)
    # A subset whose gradient is zero at zero is solved by zero.
    scale = np.where(norms > 0, norms, 1.0)
    coarse, coarse_steps, _ = minimize_rows(
        lambda points, rows: single.gradients(points, holds[rows]),
        start,
        tolerance=max(tolerance, COARSE) * scale,
        max_steps=MAX_STEPS,
    )
    theta, fine_steps, left = minimize_rows(
        lambda points, rows: double.gradients(points, holds[rows]),
        coarse.astype(np.float64),
        tolerance=tolerance * scale,
        max_steps=MAX_STEPS,
    )
    return theta, coarse_steps + fine_steps, float((left / scale).max())
