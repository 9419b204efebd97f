import numpy as np
import pytest
from numpy import ndarray
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV, KFold

from finetune_cot.errors import UsageError
from finetune_cot.selection.stepwise import forward_stepwise
from finetune_cot.selection.subsets import indicators
from finetune_cot.selection.surrogate import BANDWIDTHS, RIDGES, fit_surrogate
from tests.selection.planted import additive, harmful, random_subsets


def test_additive_losses_are_learned_and_predicted_for_new_subsets() -> None:
    losses = additive(np.random.default_rng(0).normal(size=(10, 10)), noise=0.01)
    known, new = random_subsets(10, 5, 80, seed=1), random_subsets(10, 5, 40, seed=2)
    surrogate = fit_surrogate(known, losses(known))
    error = (surrogate.estimate(new) - losses(new)).std(axis=0) / losses(new).std(axis=0)
    assert error.max() < 0.15
    assert min(surrogate.explained) > 0.95


def test_interactions_that_no_sum_of_effects_can_tell_are_learned() -> None:
    subsets = random_subsets(6, 3, 200)
    held = indicators(subsets, 6)
    losses = np.repeat((held[:, 0] == held[:, 1]).astype(float)[:, None], 6, axis=1)
    surrogate = fit_surrogate(subsets[:150], losses[:150])
    linear = np.linalg.lstsq(held[:150], losses[:150], rcond=None)[0]
    error = np.square(surrogate.estimate(subsets[150:]) - losses[150:]).mean()
    assert error < 0.05 * np.square(held[150:] @ linear - losses[150:]).mean()


def test_bandwidth_and_ridge_are_those_of_scikit_learns_search() -> None:
    subsets = random_subsets(6, 3, 24)
    held = indicators(subsets, 6)
    losses = np.random.default_rng(0).normal(size=(24, 6)) + additive(harmful(6, bad=[2]))(subsets)
    found = fit_surrogate(subsets, losses)
    median = np.median([np.linalg.norm(a - b) for a in held for b in held if (a != b).any()])
    gammas = [1 / (2 * (median * width) ** 2) for width in BANDWIDTHS]
    grid = {"gamma": gammas, "alpha": list(RIDGES)}
    parts = KFold(5, shuffle=True, random_state=0)
    for task in (0, 3):
        standard = (losses[:, task] - losses[:, task].mean()) / losses[:, task].std()
        search = GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=parts, scoring=_sum_of_squares)
        best = search.fit(held, standard).best_params_
        assert found.bandwidths[task] == pytest.approx((2 * best["gamma"]) ** -0.5)
        assert found.ridges[task] == best["alpha"]


def _sum_of_squares(model: KernelRidge, held: ndarray, losses: ndarray) -> float:
    return -float(np.square(model.predict(held) - losses).sum())


def test_noise_is_smoothed_away() -> None:
    subsets = random_subsets(8, 4, 60)
    surrogate = fit_surrogate(subsets, np.random.default_rng(5).normal(size=(60, 8)))
    assert surrogate.estimate(subsets).std() < 0.7
    assert np.mean(surrogate.explained) < 0.1


def test_it_stands_as_an_estimate_for_selecting() -> None:
    subsets = random_subsets(9, 4, 150) + random_subsets(9, 6, 150, seed=4)
    surrogate = fit_surrogate(subsets, additive(harmful(9, bad=[0, 7]))(subsets))
    assert forward_stepwise(surrogate.estimate, 9, max_tasks=7).selected == (1, 2, 3, 4, 5, 6, 8)


def test_losses_that_never_differ_and_too_few_subsets() -> None:
    subsets = random_subsets(5, 2, 12)
    np.testing.assert_allclose(fit_surrogate(subsets, np.full((12, 5), 1.5)).estimate([(0, 1)]), 1.5)
    with pytest.raises(UsageError, match="3 subsets with 3 losses"):
        fit_surrogate(subsets[:3], np.ones((3, 5)))
    with pytest.raises(UsageError, match="1 losses are no finite numbers"):
        fit_surrogate(subsets, np.where(np.eye(12, 5) * [1, 0, 0, 0, 0], np.nan, 1.0))
