"""Features of a store are read in memory that does not grow with its samples."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from finetune_cot.artifacts import gradient_store as stores
from finetune_cot.artifacts.gradient_store import GradientStore, SampleRows, StoreHeader
from finetune_cot.errors import UsageError
from finetune_cot.estimation import features as features_module
from finetune_cot.estimation.features import load_features, unit_rows


def store_of(folder: Path, samples: int, *, width: int = 8, gradient: str = "margin") -> GradientStore:
    header = StoreHeader(
        width=width,
        project_dim=width,
        projection="count-sketch",
        projection_seed=0,
        parameters=1000,
        points=("pretrained", "meta"),
        train_gradient=gradient,
        dtype="float16",
        tasks=("addition", "dates", "sorting"),
        samples=samples,
        shard_samples=256,
        origin={},
    )
    stores.begin_store(folder, header)
    random = np.random.default_rng(0)
    for number in range(header.shards):
        place = np.array(stores.shard_positions(header, number))
        rows = SampleRows(
            features=random.normal(size=(2, len(place), width)).astype(np.float16),
            sample_index=place,
            task=random.integers(0, 2, len(place)),
            is_dev=place % 4 == 3,
            tokens=place,
            losses=random.uniform(1, 2, (len(place), 2)),
            margins=random.normal(size=(len(place), 2)),
        )
        stores.write_shard(folder, header, number, rows)
    stores.finish_store(folder, header, np.zeros((2, width)), np.ones(2))
    return stores.open_store(folder)


@pytest.mark.parametrize("gradient", ["margin", "loss"])
@pytest.mark.parametrize("points", [(0, 1), (1,)])
def test_means_are_those_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gradient: str, points: tuple[int, ...]
) -> None:
    monkeypatch.setattr(features_module, "BLOCK_NUMBERS", 8 * 77)
    store = store_of(tmp_path, 600, gradient=gradient)
    found = load_features(store, points)
    sign = -1 if gradient == "loss" else 1
    assert (np.diff(found.train_task) >= 0).all()
    for place, point in enumerate(points):
        rows = sign * store.features(~store.is_dev, point)
        for task in (0, 1):
            of_task = store.task[~store.is_dev] == task
            np.testing.assert_array_equal(found.train_rows(place)[found.train_task == task], rows[of_task])
            np.testing.assert_array_equal(
                found.train_margins[place][found.train_task == task],
                store.margins[~store.is_dev][of_task, point],
            )
            np.testing.assert_allclose(found.train.means[place, task], rows[of_task].mean(axis=0), atol=1e-6)
            held = store.is_dev & (store.task == task)
            dev = store.features(held, point)
            np.testing.assert_allclose(found.dev.means[place, task], dev.mean(axis=0), atol=1e-6)
            assert found.dev_losses[place, task] == pytest.approx(store.losses[held, point].mean())
            if place == len(points) - 1:
                np.testing.assert_allclose(found.dev.directions[task], unit_rows(dev).mean(axis=0), atol=1e-6)
        assert np.isnan(found.dev.means[place, 2]).all()


def test_memory_does_not_grow_with_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "BLOCK_NUMBERS", 1 << 17)
    peaks = []
    for samples in (1024, 10 * 1024):
        store = store_of(tmp_path / str(samples), samples, width=512)
        tracemalloc.start()
        load_features(store)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 100 * 9 * 1024  # a hundred bytes for each sample's own numbers


def test_rows_that_do_not_fit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_features(store_of(tmp_path, 400))
    monkeypatch.setattr(features_module, "free_memory", lambda: 1000)
    with pytest.raises(
        UsageError, match=r"300 training samples need 0.0 GB at a point, and 0.0 GB of memory"
    ):
        found.train_rows(0)
