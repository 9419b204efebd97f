"""Many smooth convex problems of one size, minimized side by side by limited-memory BFGS."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

MEMORY = 10
"""Pairs of steps and gradient changes that are kept."""

SLOPE_LEFT = 0.5
"""A step that overshoots is taken when at most this part of the slope is left, going up."""

SHORTENINGS = 12

Gradient = Callable[
    [Float[np.ndarray, "rows width"], Int[np.ndarray, " rows"]], Float[np.ndarray, "rows width"]
]
"""The gradients at points, and which problems (by number) the points belong to."""


def minimize_rows(
    gradient: Gradient,
    start: Float[np.ndarray, "rows width"],
    *,
    tolerance: Float[np.ndarray, " rows"],
    max_steps: int,
) -> tuple[Float[np.ndarray, "rows width"], int, Float[np.ndarray, " rows"]]:
    """Minimize convex functions, one a row, from their gradients alone.

    Step lengths need no function values: along a direction a convex function's slope only grows, so a step is
    too long exactly when the slope has turned upwards, and the secant of the two slopes shortens it.

    Args:
        gradient: Gradients of some of the functions.
        start: Where to begin ``[rows, width]``; its type is the one that is computed in.
        tolerance: Norm of the gradient at which a row is done.
        max_steps: Steps after which to stop, done or not.

    Returns:
        The points, the steps taken, and each row's norm of the gradient.
    """
    points = start.copy()
    slopes_at = gradient(points, np.arange(len(points)))
    left = np.linalg.norm(slopes_at, axis=1)
    history: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    steps = 0
    active = np.flatnonzero(left > tolerance)
    while len(active) and steps < max_steps:
        direction = -_two_loops(slopes_at[active], history, active)
        moved, after = _step(gradient, points[active], slopes_at[active], direction, active)
        history = [*history[-(MEMORY - 1) :], _pair(moved, after - slopes_at[active], active, points.shape)]
        points[active] += moved
        slopes_at[active] = after
        left[active] = np.linalg.norm(after, axis=1)
        active = np.flatnonzero(left > tolerance)
        steps += 1
    return points, steps, left


def _pair(
    moved: np.ndarray, change: np.ndarray, active: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pair for the history, in the places of all rows; of no weight where rounding hides the curvature."""
    curvature = np.einsum("rw,rw->r", moved, change)
    sure = curvature > 1e-12 * np.einsum("rw,rw->r", change, change)
    step, gradient_change = np.zeros(shape, moved.dtype), np.zeros(shape, moved.dtype)
    weight = np.zeros(shape[0], moved.dtype)
    step[active], gradient_change[active] = moved, change
    weight[active[sure]] = 1 / curvature[sure]
    return step, gradient_change, weight


def _two_loops(
    slopes: np.ndarray, history: list[tuple[np.ndarray, np.ndarray, np.ndarray]], active: np.ndarray
) -> np.ndarray:
    """The inverse curvature's product with the gradients: Nocedal and Wright, algorithm 7.4."""
    turned = slopes.copy()
    parts = []
    pairs = [(moved[active], change[active], weight[active]) for moved, change, weight in history]
    for moved, change, weight in reversed(pairs):
        part = weight * np.einsum("rw,rw->r", moved, turned)
        turned -= part[:, None] * change
        parts.append(part)
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
