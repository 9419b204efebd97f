"""Regularized logistic regressions on many unions of tasks, solved together as matrix work.

For a subset S of tasks, with margins m and features phi (GradEx):

    theta_S = argmin (1/|S|) sum_{i in S} log(1 + exp(-(m_i + phi_i . theta))) + (ridge/2) |theta|^2

All subsets of a block take their quasi-Newton steps at once: a task's samples meet exactly the subsets that
hold it, so each step is two matrix products a task. The steps begin where the regression on all samples
ends, where the gradients of all subsets are known from one look at the samples, and are led by the inverse
curvature of all samples there: half a dozen then suffice for subsets of many tasks. A subset that takes
many (its samples part cleanly, its features are all but dependent) is solved alone, with its own curvature.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from finetune_cot.errors import UsageError
from finetune_cot.estimation.lbfgs import Minima, minimize_rows
from finetune_cot.estimation.subset_matrix import (
    check_finite,
    check_samples,
    samples_by_task,
    subset_matrix,
)
from finetune_cot.estimation.union_regressions import UnionRegressions

BLOCK_SUBSETS = 256
"""Subsets that one thread works on at once: beyond this, products get no faster and memory grows."""

COARSE_STEPS = 20
"""Steps in float32 after which a subset is solved alone."""

ALONE_STEPS, LAST_STEPS = 200, 5
"""Steps of a subset that is solved alone: within a region of trust, and whole ones at the end."""

ALONE = 0.01
"""Part of the tolerance that is left to a subset that is solved alone: such are harder to judge."""

LEAST_CURVATURES = 1e-3, 1e-6
"""Least curvatures of a sample's loss, and of all beside the largest (what float32 can tell)."""

NEARBY = 0.01
"""Distance from the solution, beside its norm, from which whole steps of Newton's method lead there."""

TINY = 1e-300
"""Stands for the norm of a solution that is zero."""


@dataclass(frozen=True)
class LogisticSolutions:
    """What fits each subset.

    Attributes:
        theta: ``[subsets, proj]``, float64.
        steps: Quasi-Newton steps of the slowest subset.
        residual: About the relative distance to the exact solution, of the worst subset.
    """

    theta: Float[ndarray, "subsets proj"]
    steps: int
    residual: float


def solve_subsets(
    features: Float[ndarray, "samples proj"],
    sample_task: Int[ndarray, " samples"],
    subsets: Sequence[tuple[int, ...]],
    *,
    ridge: float,
    margins: Float[ndarray, " samples"] | None = None,
    tolerance: float = 2e-5,
) -> LogisticSolutions:
    """Solve the regression of every subset.

    Args:
        features: Feature phi of each sample; where labels flip signs, already flipped.
        sample_task: Task number of each sample.
        subsets: Task numbers of each subset.
        ridge: The weight lambda of |theta|^2 / 2 beside the mean loss.
        margins: Offsets m ``[samples]``; zero where None.
        tolerance: Residual at which to stop (see `LogisticSolutions`).

    Raises:
        DataError: features or margins are not finite, or a subset has no samples.
        UsageError: ``ridge`` is not above zero, or too small for a solution to be found.
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
    check_samples(subsets, holds, np.bincount(sample_task, minlength=tasks))
    reduced, basis = _row_space(features)
    problem = UnionRegressions(
        features=tuple(reduced[of_task] for of_task in rows),
        margins=tuple(offsets[of_task] for of_task in rows),
        ridge=ridge,
    )
    found = _solve(problem, holds, tolerance)
    worst = int(np.argmax(found.left)) if len(subsets) else 0
    residual = float(found.left[worst]) if len(subsets) else 0.0
    if not residual <= tolerance:
        raise UsageError(
            f"the regression on subset {worst} is not solved at ridge {ridge:g} (residual {residual:.0e})",
            remedy="give a larger one with --ridge",
        )
    return LogisticSolutions(found.points if basis is None else found.points @ basis, found.steps, residual)


def _row_space(
    features: Float[ndarray, "samples proj"],
) -> tuple[Float[ndarray, "samples width"], Float[ndarray, "width proj"] | None]:
    """The same features in an orthonormal basis of their row space, where samples are fewer than numbers.

    Every theta_S lies in that space, so nothing is lost.
    """
    samples, proj = features.shape
    if samples >= proj:
        return features, None
    basis, triangle = np.linalg.qr(features.T.astype(np.float64))
    return triangle.T, basis.T


def _solve(problem: UnionRegressions, holds: Bool[ndarray, "subsets tasks"], tolerance: float) -> Minima:
    """Solutions of all subsets, blocks of them side by side."""
    everything, inverse = _everything(problem)
    slopes = problem.gradients_at_one(everything, holds)

    def solve_block(block: Int[ndarray, " some"]) -> Minima:
        found = minimize_rows(
            lambda theta, rows: problem.gradients(theta, holds[block[rows]]),
            np.tile(everything.astype(np.float32), (len(block), 1)),
            slopes[block],
            inverse,
            tolerance=tolerance,
            max_steps=COARSE_STEPS,
        )
        points, steps, left = found.points.astype(np.float64), found.steps, found.left
        for row in np.flatnonzero(left > tolerance):
            try:
                alone = _alone(problem.of_tasks(holds[block[row]]), tolerance)
            except (np.linalg.LinAlgError, ValueError):
                left[row] = np.inf  # beside the features, float64 cannot tell so small a ridge from none
                continue
            points[row], left[row] = alone.points[0], alone.left[0]
            steps = max(steps, found.steps + alone.steps)
        return Minima(points, steps, left)

    found = _side_by_side(solve_block, len(holds))
    return Minima(
        np.concatenate([part.points for part in found]),
        max((part.steps for part in found), default=0),
        np.concatenate([part.left for part in found]),
    )


def _side_by_side(solve: Callable[[Int[ndarray, " some"]], Minima], rows: int) -> list[Minima]:
    """Solve blocks of rows in as many threads as matrix products would take, each product in one."""
    blas = ThreadpoolController().select(user_api="blas")
    threads = max((library["num_threads"] for library in blas.info()), default=1)
    blocks = np.array_split(np.arange(rows), max(1, min(rows, threads), -(-rows // BLOCK_SUBSETS)))
    with blas.limit(limits=1), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(solve, blocks))


def _everything(
    problem: UnionRegressions,
) -> tuple[Float[ndarray, " width"], Float[ndarray, "width width"]]:
    """About what fits all samples, and the inverse of their curvature there."""
    theta = np.zeros((1, problem.width), np.float32)
    every = np.ones((1, len(problem.features)), dtype=bool)
    found = minimize_rows(
        lambda theta, rows: problem.gradients(theta, every),
        theta,
        problem.gradients(theta, every),
        _inverse(problem, theta[0]),
        tolerance=1e-3,
        max_steps=COARSE_STEPS,
    ).points[0]
    return found.astype(np.float64), _inverse(problem, found)


def _alone(problem: UnionRegressions, tolerance: float) -> Minima:
    """What fits all samples of a problem, in float64, by Newton's method within a region of trust.

    The last steps are Newton's whole ones: near its least value a loss no longer tells which point is better.
    """
    start = np.zeros(problem.width)
    first = float(np.linalg.norm(_newton_step(problem, start))) or 1.0

    def stop_nearby(point: Float[ndarray, " width"]) -> None:
        # The gradient is at least the ridge times the distance.
        if np.linalg.norm(problem.gradient(point)) < NEARBY * problem.ridge * np.linalg.norm(point):
            raise StopIteration

    found = minimize(
        problem.loss,
        start,
        jac=problem.gradient,
        hess=problem.hessian,
        method="trust-exact",
        callback=stop_nearby,
        options={
            "initial_trust_radius": first,
            "max_trust_radius": 1e3 * first,
            "gtol": 0.0,
            "maxiter": ALONE_STEPS,
        },
    )
    point, steps, left = found.x, int(found.nit), np.inf
    for _ in range(LAST_STEPS):
        step = _newton_step(problem, point)
        point, steps = point + step, steps + 1
        left = float(np.linalg.norm(step)) / max(float(np.linalg.norm(point)), TINY)
        if left <= ALONE * tolerance:
            break
    return Minima(point[None], steps, np.array([left]))


def _newton_step(problem: UnionRegressions, theta: Float[ndarray, " width"]) -> Float[ndarray, " width"]:
    step: Float[ndarray, " width"] = -np.linalg.solve(problem.hessian(theta), problem.gradient(theta))
    return step


def _inverse(problem: UnionRegressions, theta: Float[ndarray, " width"]) -> Float[ndarray, "width width"]:
    """The inverse curvature of all samples, with the ridge."""
    of_sample, beside_largest = LEAST_CURVATURES
    curvature = problem.curvature(theta, of_sample)
    diagonal = curvature.reshape(-1)[:: len(curvature) + 1]
    diagonal += max(problem.ridge, beside_largest * float(diagonal.max(initial=0)))
    inverse: Float[ndarray, "width width"] = np.linalg.inv(curvature)
    return inverse
