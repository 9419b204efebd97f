import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import pearsonr, spearmanr

from finetune_cot.estimation.agreement import agreement


def values(seed: int) -> Float[ndarray, "subsets tasks"]:
    return 2 + np.random.default_rng(seed).normal(size=(20, 3))


def everywhere(truth: Float[ndarray, "subsets tasks"]) -> ndarray:
    return np.ones_like(truth, dtype=bool)


def test_measures_are_those_of_scipy_averaged_over_the_tasks() -> None:
    truth = values(0)
    estimate = np.round(truth + values(1), 1)  # with ties
    chosen = np.random.default_rng(2).random(truth.shape) < 0.6
    found = agreement(estimate, truth, chosen, is_loss=True)
    columns = [(estimate[rows, task], truth[rows, task]) for task, rows in enumerate(chosen.T)]
    by_task = [spearmanr(*column).statistic for column in columns]
    assert found.by_task == pytest.approx(by_task)
    assert found.spearman == pytest.approx(np.mean(by_task))
    assert found.pearson == pytest.approx(np.mean([pearsonr(*column).statistic for column in columns]))
    errors = [np.abs(guess - true) / np.abs(true) for guess, true in columns]
    assert found.relative_error_mean == pytest.approx(np.mean([error.mean() for error in errors]))
    assert found.relative_error_max == pytest.approx(max(error.max() for error in errors))
    assert found.subsets == pytest.approx(chosen.sum() / 3)


def test_the_interval_is_that_of_resampled_subsets() -> None:
    truth = values(0)[:, :1]
    estimate = truth + 0.7 * values(1)[:, :1]
    found = agreement(estimate, truth, everywhere(truth), is_loss=True)
    random = np.random.default_rng(9)
    rows = [random.integers(20, size=20) for _ in range(2000)]
    plain = [spearmanr(estimate[row, 0], truth[row, 0]).statistic for row in rows]
    assert found.interval is not None
    assert found.interval == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.06)
    assert found.interval[0] < (found.spearman or 0) < found.interval[1]


def test_correlations_know_nothing_of_level_and_scale() -> None:
    truth, estimate = values(0), values(0) + values(1)
    found = agreement(estimate, truth, everywhere(truth), is_loss=False)
    moved = agreement(5 * estimate - 3, truth, everywhere(truth), is_loss=False)
    assert (moved.spearman, moved.pearson) == pytest.approx((found.spearman, found.pearson))
    assert moved.interval == pytest.approx(found.interval)
    assert (found.relative_error_mean, found.relative_error_max) == (None, None)


def test_equal_estimates_order_nothing_and_equal_truths_cannot_be_ordered() -> None:
    truth = values(0)
    assert agreement(np.ones_like(truth), truth, everywhere(truth), is_loss=True).spearman == 0
    truth[:, 1] = 1.0
    found = agreement(values(1), truth, everywhere(truth), is_loss=True)
    assert found.by_task[1] is None
    assert found.spearman == pytest.approx(np.mean([found.by_task[0], found.by_task[2]]))
    nothing = agreement(values(1), np.ones_like(truth), everywhere(truth), is_loss=True)
    assert (nothing.spearman, nothing.interval, nothing.by_task) == (None, None, (None, None, None))


def test_what_is_not_known_does_not_count() -> None:
    truth, estimate = values(0), values(0) + values(1)
    fewer = everywhere(truth)
    fewer[:5, 1] = False
    expected = agreement(estimate, truth, fewer, is_loss=True)
    truth[:3, 1], estimate[3:5, 1] = np.nan, np.nan
    assert agreement(estimate, truth, everywhere(truth), is_loss=True) == expected
    fewer[:18, 0] = False
    assert agreement(estimate, truth, fewer, is_loss=True).by_task[0] is None
