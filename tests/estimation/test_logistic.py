import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from finetune_cot.errors import DataError, UsageError
from finetune_cot.estimation.logistic import solve_subsets

SUBSETS = [(0, 1), (2,), (0, 2, 3), (1, 3), (0, 1, 2, 3)]


def problem(samples: int = 80, proj: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(samples, proj)) * random.uniform(0.1, 3, size=proj)
    return features, random.integers(0, 4, size=samples), random.normal(size=samples) * 2


@pytest.mark.parametrize("ridge", [0.001, 0.03, 1.0])
@pytest.mark.parametrize("proj", [10, 200])
def test_as_scikit_learn_solves_it(ridge: float, proj: int) -> None:
    features, tasks, _ = problem(proj=proj)
    found = solve_subsets(features, tasks, SUBSETS, ridge=ridge).theta
    for subset, theta in zip(SUBSETS, found, strict=True):
        rows = features[np.isin(tasks, subset)]
        # The same regression, as two classes: a sample and its mirror image.
        both, labels = np.vstack([rows, -rows]), np.repeat([1, 0], len(rows))
        reference = LogisticRegression(
            C=1 / (2 * len(rows) * ridge), fit_intercept=False, tol=1e-12, solver="newton-cholesky"
        ).fit(both, labels)
        expected = reference.coef_[0]
        assert np.linalg.norm(theta - expected) < 1e-4 * np.linalg.norm(expected)


def test_margins_are_where_the_regression_begins() -> None:
    features, tasks, margins = problem()
    found = solve_subsets(features, tasks, SUBSETS, ridge=0.05, margins=margins).theta
    for subset, theta in zip(SUBSETS, found, strict=True):
        rows = np.isin(tasks, subset)

        def value(point: np.ndarray, rows: np.ndarray = rows) -> float:
            scores = margins[rows] + features[rows] @ point
            return float(np.logaddexp(0, -scores).mean() + 0.025 * point @ point)

        expected = minimize(value, np.zeros(features.shape[1]), tol=1e-12).x
        assert np.linalg.norm(theta - expected) < 1e-3 * np.linalg.norm(expected)
        assert value(theta) <= value(expected) + 1e-9


def test_what_else_is_solved_does_not_matter() -> None:
    features, tasks, margins = problem()
    together = solve_subsets(features, tasks, SUBSETS, ridge=0.03, margins=margins).theta
    backwards = solve_subsets(features, tasks, SUBSETS[::-1], ridge=0.03, margins=margins).theta[::-1]
    np.testing.assert_allclose(backwards, together, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_solved_is_named() -> None:
    features, tasks, _ = problem()
    with pytest.raises(DataError, match="subset"):
        solve_subsets(features, tasks, [(0,), (5,)], ridge=0.03)
    with pytest.raises(UsageError, match="ridge"):
        solve_subsets(features, tasks, SUBSETS, ridge=0.0)
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="features of 1 of 80 samples are not finite"):
        solve_subsets(features, tasks, SUBSETS, ridge=0.03)


@pytest.mark.parametrize("ridge", [1e-4, 1e-8])
def test_samples_that_part_cleanly_are_solved_alone(ridge: float) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 8)) + 2 * random.normal(size=8)
    tasks = random.integers(0, 4, size=200)
    found = solve_subsets(features, tasks, SUBSETS, ridge=ridge)
    for subset, theta in zip(SUBSETS, found.theta, strict=True):
        rows = np.isin(tasks, subset)
        slope = ridge * theta - features[rows].T @ expit(-features[rows] @ theta) / rows.sum()
        assert np.linalg.norm(slope) < 0.01 * ridge * np.linalg.norm(theta)


def test_samples_far_on_the_wrong_side_are_solved() -> None:
    """Their loss is all but linear, and turns within a small part of what a sample's feature is long."""
    features, tasks, margins = problem(samples=12, proj=16)
    features, margins = 2000 * features, -15 + margins
    found = solve_subsets(features, tasks, [(0, 1), (2, 3)], ridge=10.0, margins=margins).theta
    for subset, theta in zip([(0, 1), (2, 3)], found, strict=True):
        rows = np.isin(tasks, subset)
        expected = exactly(features[rows], margins[rows], ridge=10.0)
        assert np.linalg.norm(theta - expected) < 1e-4 * np.linalg.norm(expected)


def test_samples_without_a_gradient_lead_nowhere() -> None:
    features, tasks, _ = problem()
    features[tasks == 1] = 0
    found = solve_subsets(features, tasks, [(0,), (1,), (0, 1)], ridge=0.1).theta
    assert not found[1].any()
    assert found[0].any()
    assert found[2].any()


def test_fewer_samples_than_numbers_are_solved_in_their_own_space() -> None:
    features, tasks, margins = problem(samples=60, proj=600)
    found = solve_subsets(features, tasks, [(0, 2), (1,)], ridge=10.0, margins=margins).theta
    turned = np.linalg.qr(features.T)
    small = solve_subsets(turned[1].T, tasks, [(0, 2), (1,)], ridge=10.0, margins=margins).theta
    np.testing.assert_allclose(found, small @ turned[0].T, rtol=1e-3, atol=1e-6)


def test_what_is_not_solved_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    features, tasks, margins = problem(samples=60, proj=80)
    monkeypatch.setattr("finetune_cot.estimation.logistic.ALONE_STEPS", 1)
    with pytest.raises(UsageError, match=r"is not solved at ridge 1e-09 .*; give a larger one with --ridge"):
        solve_subsets(features, tasks, SUBSETS, ridge=1e-9, margins=margins)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_features_of_any_scale_are_solved(scale: float) -> None:
    features, tasks, margins = problem(samples=400, proj=30)
    found = solve_subsets(scale * features, tasks, [(0,), (3,)], ridge=0.01, margins=margins).theta
    for task, theta in zip((0, 3), found, strict=True):
        rows = tasks == task
        expected = exactly(scale * features[rows], margins[rows], ridge=0.01)
        assert np.linalg.norm(theta - expected) < 1e-4 * np.linalg.norm(expected)


def exactly(features: np.ndarray, margins: np.ndarray, ridge: float) -> np.ndarray:
    """The solution by a method with second derivatives."""
    strength = ridge * np.eye(features.shape[1])

    def value(point: np.ndarray) -> float:
        return float(np.logaddexp(0, -(margins + features @ point)).mean() + ridge / 2 * point @ point)

    def slope(point: np.ndarray) -> np.ndarray:
        return ridge * point - features.T @ expit(-(margins + features @ point)) / len(features)

    def curvature(point: np.ndarray) -> np.ndarray:
        chance = expit(margins + features @ point)
        return strength + (features * (chance * (1 - chance))[:, None]).T @ features / len(features)

    start = np.zeros(features.shape[1])
    return minimize(value, start, jac=slope, hess=curvature, method="trust-exact", options={"gtol": 1e-10}).x
