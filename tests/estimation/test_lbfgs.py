"""Many problems at once are solved as each of them alone."""

import numpy as np

from finetune_cot.estimation.lbfgs import minimize_rows


def test_quadratics_of_differing_difficulty_end_where_they_are_least() -> None:
    random = np.random.default_rng(0)
    roots = random.normal(size=(5, 12, 12)) * random.uniform(0.5, 2, size=(5, 1, 1))
    curvatures = roots @ roots.transpose(0, 2, 1) + np.eye(12)
    goals = random.normal(size=(5, 12))

    def gradient(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.einsum("rij,rj->ri", curvatures[rows], points - goals[rows])

    start = np.zeros((5, 12))
    first = gradient(start, np.arange(5))
    inverse = np.linalg.inv(curvatures.mean(axis=0))
    found = minimize_rows(gradient, start, first, inverse, tolerance=1e-8, max_steps=200)
    errors = np.linalg.norm(found.points - goals, axis=1) / np.linalg.norm(goals, axis=1)
    assert (errors < 1e-7).all()
    assert (found.left <= 1e-8).all()
    assert (start == 0).all()
    few = minimize_rows(gradient, start, first, inverse, tolerance=1e-8, max_steps=2)
    assert few.steps == 2
    assert (few.left > 1e-8).any()
