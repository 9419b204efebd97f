import dataclasses
from itertools import combinations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from finetune_cot.config.gradients import ESTIMATOR_NAMES
from finetune_cot.estimation.estimates import EstimatorSettings
from finetune_cot.estimation.gradex import SEED_C, SEED_LABELS
from finetune_cot.estimation.registry import ESTIMATORS
from tests.estimation.made_up_features import features, made_up

SUBSETS = list(combinations(range(6), 3))
SETTINGS = EstimatorSettings()


def test_the_command_knows_every_estimator() -> None:
    assert set(ESTIMATOR_NAMES) == ESTIMATORS.keys()


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_an_estimate_depends_on_its_own_subset_alone(name: str) -> None:
    whole = ESTIMATORS[name](features(), SUBSETS, SETTINGS)
    part = ESTIMATORS[name](features(), SUBSETS[5:9][::-1], SETTINGS)
    assert whole.losses.shape == (20, 6)
    assert whole.method == name
    np.testing.assert_allclose(part.losses, whole.losses[5:9][::-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(ESTIMATORS.keys() - {"norm", "subset-size"}))
def test_a_task_is_helped_by_training_on_it(name: str) -> None:
    found = ESTIMATORS[name](features(), SUBSETS, SETTINGS).losses
    for task in range(6):
        holding = np.array([task in subset for subset in SUBSETS])
        assert found[holding, task].mean() < found[~holding, task].mean()


@pytest.mark.parametrize("name", ["gradex", "seed"])
def test_losses_begin_at_those_of_the_model(name: str) -> None:
    found = made_up()
    still = dataclasses.replace(found, train=np.zeros_like(found.train))
    estimates = ESTIMATORS[name](still.features(), SUBSETS, SETTINGS)
    assert estimates.is_loss
    by_task = found.dev_losses.reshape(2, 6, 3).mean(axis=2)
    expected = by_task[-1] if name == "seed" else by_task.mean(axis=0)
    np.testing.assert_allclose(estimates.losses, np.tile(expected, (20, 1)))


def test_a_scale_sets_the_length_of_every_step() -> None:
    found = made_up(points=1)
    one, two = (
        ESTIMATORS["gradex"](found.features(), SUBSETS, EstimatorSettings(scale=scale)).losses
        for scale in (0.1, 0.2)
    )
    level = found.dev_losses.reshape(6, 3).mean(axis=1)
    np.testing.assert_allclose(two - level, 2 * (one - level))


def test_points_are_averaged_or_summed() -> None:
    found = made_up()
    parts = [found.features([point]) for point in (0, 1)]
    for name, combine in (("gradex", np.mean), ("task-cosine", np.sum), ("subset-cosine", np.sum)):
        one_by_one = [ESTIMATORS[name](part, SUBSETS, SETTINGS).losses for part in parts]
        whole = ESTIMATORS[name](found.features(), SUBSETS, SETTINGS).losses
        np.testing.assert_allclose(whole, combine(one_by_one, axis=0), rtol=1e-5, atol=1e-7)


def test_cosines_by_hand() -> None:
    found = made_up(tasks=2, per_task=1, dev_per_task=1, points=1)
    cosine = -(found.train[0, 0] @ found.dev[0, 1]) / (
        np.linalg.norm(found.train[0, 0]) * np.linalg.norm(found.dev[0, 1])
    )
    for name in ("cosine", "task-cosine", "subset-cosine"):
        assert ESTIMATORS[name](found.features(), [(0,)], SETTINGS).losses[0, 1] == pytest.approx(
            -cosine, rel=1e-5
        )
    product = ESTIMATORS["inner-product"](found.features(), [(0,)], SETTINGS).losses[0, 1]
    assert product == pytest.approx(float(found.train[0, 0] @ found.dev[0, 1]), rel=1e-5)


@pytest.mark.parametrize("proj", [12, 40])
def test_trak_whitens_by_the_training_samples(proj: int) -> None:
    found = made_up(tasks=3, proj=proj, points=1)
    train, dev = found.train[0].astype(np.float64), found.dev[0]
    moment = train.T @ train
    ridge = SETTINGS.ridge * np.trace(moment) / len(train)
    scores = train @ np.linalg.solve(moment + ridge * np.eye(proj), dev.T)
    by_task = scores.reshape(3, 5, 3, 3).mean(axis=(1, 3))
    estimated = ESTIMATORS["trak"](found.features(), [(0,), (0, 2)], SETTINGS).losses
    np.testing.assert_allclose(estimated, [by_task[0], by_task[[0, 2]].mean(axis=0)], rtol=1e-6)


def test_the_seeds_step_is_that_of_liblinear_on_random_labels() -> None:
    found = made_up(points=1, per_task=60)
    rows, task = 10 * found.train[0].astype(np.float64), found.train_task
    scaled = dataclasses.replace(found, train=rows[None].astype(np.float32)).features()
    estimates = ESTIMATORS["seed"](scaled, SUBSETS[:4], EstimatorSettings(seed=3))
    labels = np.where(np.random.default_rng(3).random(len(task)) < SEED_LABELS, 1, -1)
    assert estimates.steps is not None
    for subset, step in zip(SUBSETS[:4], estimates.steps, strict=True):
        held = np.isin(task, subset)
        fit = LogisticRegression(C=SEED_C, solver="liblinear", tol=1e-10, max_iter=1000)
        fit.fit((labels[:, None] * rows)[held], labels[held])
        assert abs(fit.intercept_[0]) > 1e-4
        expected = fit.coef_[0] * np.linalg.norm(step) / np.linalg.norm(fit.coef_[0])
        assert np.linalg.norm(step - expected) < 1e-4 * np.linalg.norm(expected)
