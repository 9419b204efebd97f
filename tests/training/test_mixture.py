import numpy as np
import pytest
from scipy.optimize import minimize

from finetune_cot.training.mixture import mixture_losses, mixture_weights

RANDOM = np.random.default_rng(0)
LOSSES = RANDOM.gamma(1.5, 1.0, size=(3, 400))
SHARE = RANDOM.uniform(0.1, 1.0, size=400)


def mean_loss(weights: np.ndarray) -> float:
    return float(np.average(mixture_losses(LOSSES, weights), weights=SHARE))


def test_weights_are_those_of_a_constrained_minimizer() -> None:
    weights = mixture_weights(LOSSES, SHARE)
    found = minimize(
        mean_loss,
        np.full(3, 1 / 3),
        bounds=[(1e-9, 1)] * 3,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        tol=1e-10,
    )
    np.testing.assert_allclose(weights, found.x, atol=1e-3)
    assert mean_loss(weights) <= found.fun + 1e-6
    assert (weights.sum(), weights.min() >= 0) == (pytest.approx(1), True)


def test_a_mixture_is_no_worse_than_its_best_model() -> None:
    assert mean_loss(mixture_weights(LOSSES, SHARE)) <= min(mean_loss(alone) for alone in np.eye(3)) + 1e-9


def test_a_model_that_is_always_better_speaks_alone() -> None:
    losses = np.stack([LOSSES[0], LOSSES[0] + 2.0])
    np.testing.assert_allclose(mixture_weights(losses, SHARE), [1, 0], atol=1e-3)
