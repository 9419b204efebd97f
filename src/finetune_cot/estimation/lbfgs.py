"""Many smooth convex problems of one size, minimized side by side by limited-memory BFGS."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MEMORY = 10
"""Pairs of steps and gradient changes that are kept."""

SLOPE_LEFT = 0.5
"""A step that overshoots is taken when at most this part of the slope is left, going up."""

SHORTENINGS = 12

RATES = (0.1, 0.9)
"""A step is never taken to be shorter than the one before by more, or by less, than these."""

_TINY = 1e-30

Gradient = Callable[
    [Float[np.ndarray, "rows width"], Int[np.ndarray, " rows"]], Float[np.ndarray, "rows width"]
]
"""The gradients at points, and which problems (by number) the points belong to."""

_Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Steps ``[rows, width]``, changes of the gradient over them, and one over the products of the two."""


@dataclass(frozen=True)
class Minima:
    """Where functions are least, one a row."""

    points: Float[np.ndarray, "rows width"]
    steps: int
    """Steps of the slowest row."""
    left: Float[np.ndarray, " rows"]
    """About how far a point is from the least one, beside its own norm."""


def minimize_rows(
    gradient: Gradient,
    start: Float[np.ndarray, "rows width"],
    slopes: Float[np.ndarray, "rows width"],
    inverse: Float[np.ndarray, "width width"],
    *,
    tolerance: float,
    max_steps: int,
) -> Minima:
    """Minimize convex functions, one a row, from their gradients alone.

    Step lengths need no function values: along a direction a convex function's slope only grows, so a step is
    too long exactly when the slope has turned upwards, and the secant of the two slopes shortens it. How far
    a step leads to the goal is told by how much shorter it is than those before; a row's last step, being
    sure, is taken without a look at the gradient behind it.

    Args:
        gradient: Gradients of some of the functions.
        start: Where to begin ``[rows, width]``; its type is the one that is computed in.
        slopes: The gradients there.
        inverse: About the inverse of the functions' second derivatives.
        tolerance: How far from its goal, beside its own norm, a point may be.
        max_steps: Steps after which to stop, done or not.
    """
    points, slopes, inverse = start.copy(), slopes.astype(start.dtype), inverse.astype(start.dtype)
    sizes, left = np.full(len(points), _TINY), np.full(len(points), np.inf)
    rates = np.full(len(points), RATES[0])
    history: list[_Pairs] = []
    active, steps = np.arange(len(points)), 0
    while len(active):
        direction = -_two_loops(slopes[active], history, active, inverse)
        length = np.linalg.norm(points[active] + direction, axis=1)
        size = np.linalg.norm(direction, axis=1) / np.maximum(length, _TINY)
        rate = np.clip(size / sizes[active], *RATES)
        slowest = np.maximum(rate, rates[active])
        sizes[active], rates[active], left[active] = size, rate, size * slowest / (1 - slowest)
        done = left[active] <= tolerance
        points[active[done]] += direction[done]
        active, direction = active[~done], direction[~done]
        if steps == max_steps or not len(active):
            break
        moved, after = _step(gradient, points[active], slopes[active], direction, active)
        history = [*history[-(MEMORY - 1) :], _pair(moved, after - slopes[active], active, points.shape)]
        points[active] += moved
        slopes[active] = after
        steps += 1
    return Minima(points, steps, left)


def _pair(moved: np.ndarray, change: np.ndarray, active: np.ndarray, shape: tuple[int, ...]) -> _Pairs:
    """A pair for the history, in the places of all rows; of no weight where rounding hides the curvature."""
    curvature = np.einsum("rw,rw->r", moved, change)
    sure = curvature > 1e-12 * np.einsum("rw,rw->r", change, change)
    step, gradient_change = np.zeros(shape, moved.dtype), np.zeros(shape, moved.dtype)
    weight = np.zeros(shape[0], moved.dtype)
    step[active], gradient_change[active] = moved, change
    weight[active[sure]] = 1 / curvature[sure]
    return step, gradient_change, weight


def _two_loops(
    slopes: np.ndarray, history: list[_Pairs], active: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    """The inverse curvature's product with the gradients: Nocedal and Wright, algorithm 7.4."""
    turned = slopes.copy()
    parts = []
    pairs = [(moved[active], change[active], weight[active]) for moved, change, weight in history]
    for moved, change, weight in reversed(pairs):
        part = weight * np.einsum("rw,rw->r", moved, turned)
        turned -= part[:, None] * change
        parts.append(part)
    turned[:] = turned @ inverse
    for (moved, change, weight), part in zip(pairs, reversed(parts), strict=True):
        turned += (part - weight * np.einsum("rw,rw->r", change, turned))[:, None] * moved
    return turned


def _step(
    gradient: Gradient, points: np.ndarray, slopes: np.ndarray, direction: np.ndarray, active: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Steps along directions that go down, and the gradients where they end."""
    before = np.einsum("rw,rw->r", slopes, direction)
    length = np.ones(len(points), points.dtype)
    after = gradient(points + direction, active)
    for _ in range(SHORTENINGS):
        slope = np.einsum("rw,rw->r", after, direction)
        far = np.flatnonzero(slope > SLOPE_LEFT * np.abs(before))
        if not len(far):
            break
        length[far] *= before[far] / (before[far] - slope[far])
        after[far] = gradient(points[far] + length[far, None] * direction[far], active[far])
    return length[:, None] * direction, after
