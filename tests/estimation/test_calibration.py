from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from finetune_cot.errors import UsageError
from finetune_cot.estimation.calibration import calibrate, datamodel, signals
from finetune_cot.estimation.estimates import EstimatorSettings
from tests.estimation.made_up_features import features

SUBSETS = [*combinations(range(6), 3), *combinations(range(6), 2)]


def planted(noise: float = 0.02) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Signals, and losses that two of them make up, with a level and a scale of each task's own."""
    random = np.random.default_rng(1)
    given = {name: random.normal(size=(len(SUBSETS), 6)) for name in ("good", "fair", "useless")}
    made_up = given["good"] + 0.5 * given["fair"] + noise * random.normal(size=(len(SUBSETS), 6))
    return given, 2 + np.arange(6) + 0.1 * (1 + np.arange(6)) * made_up


def test_the_signals_that_count_are_found() -> None:
    given, losses = planted()
    measured = np.arange(12)
    found = calibrate(given, SUBSETS, measured, losses[:12])
    assert found.weights["good"] > 1.5 * found.weights["fair"] > 6 * abs(found.weights["useless"])
    rest = found.estimates.losses[12:]
    assert np.mean(np.abs(rest - losses[12:]) / losses[12:]) < 0.03
    assert min(spearmanr(rest[:, task], losses[12:, task]).statistic for task in range(6)) > 0.9


def test_the_told_deviation_is_that_of_the_errors() -> None:
    given, losses = planted(noise=0.5)
    found = calibrate(given, SUBSETS, np.arange(16), losses[:16])
    assert found.estimates.std is not None
    errors = (found.estimates.losses - losses)[16:]
    ratio = np.sqrt(np.mean(errors**2)) / np.sqrt(np.mean(found.estimates.std[16:] ** 2))
    assert 0.6 < ratio < 1.6


def test_the_order_of_the_true_runs_hardly_matters() -> None:
    given, losses = planted()
    one = calibrate(given, SUBSETS, np.arange(8), losses[:8])
    order = np.arange(8)[::-1]
    turned = calibrate(given, SUBSETS, order, losses[order])
    assert np.corrcoef(turned.estimates.losses[20:, 0], one.estimates.losses[20:, 0])[0, 1] > 0.98


def test_a_task_in_other_units_gives_the_same_share_of_error() -> None:
    given, losses = planted()
    factors = np.array([1, 10, 0.1, 3, 1, 7])
    one = calibrate(given, SUBSETS, np.arange(8), losses[:8]).estimates.losses
    other = calibrate(given, SUBSETS, np.arange(8), losses[:8] * factors).estimates.losses
    np.testing.assert_allclose(other, one * factors)


def test_a_task_that_was_not_measured_is_not_estimated() -> None:
    given, losses = planted()
    losses[:, 3] = np.nan
    for found in (
        calibrate(given, SUBSETS, np.arange(8), losses[:8]).estimates,
        datamodel(SUBSETS, np.arange(8), losses[:8]),
    ):
        np.testing.assert_array_equal(np.isnan(found.losses).all(axis=0), np.arange(6) == 3)
        assert np.isfinite(np.delete(found.losses, 3, axis=1)).all()


def test_an_additive_truth_is_found_without_signals() -> None:
    random = np.random.default_rng(0)
    effects = random.normal(size=(6, 6))
    losses = np.exp([0.3 * effects[list(subset)].sum(axis=0) for subset in SUBSETS])
    chosen = random.permutation(len(SUBSETS))[:18]
    found = datamodel(SUBSETS, chosen, losses[chosen]).losses
    rest = np.setdiff1d(np.arange(len(SUBSETS)), chosen)
    assert np.mean([spearmanr(found[rest, task], losses[rest, task]).statistic for task in range(6)]) > 0.9


def test_a_task_that_never_changes_stays_as_it_is() -> None:
    given, losses = planted()
    losses[:, 2] = 1.25
    found = calibrate(given, SUBSETS, np.arange(10), losses[:10])
    np.testing.assert_allclose(found.estimates.losses[:, 2], 1.25, atol=1e-9)


def test_too_few_runs_are_refused() -> None:
    given, losses = planted()
    with pytest.raises(UsageError, match="3 true runs are too few to calibrate on; give at least 4"):
        calibrate(given, SUBSETS, np.arange(3), losses[:3])


def test_signals_are_of_every_point() -> None:
    found = signals(features(points=3), SUBSETS, EstimatorSettings())
    assert {"membership", "task-cosine 0", "task-cosine 2", "subset-cosine", "gradex"} <= found.keys()
    assert all(values.shape == (len(SUBSETS), 6) for values in found.values())
