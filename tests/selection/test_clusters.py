import numpy as np
import pytest
from jaxtyping import Float, Int
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.selection import clusters
from finetune_cot.selection.clusters import Clusters, cluster

SIZES = (60, 30, 10)
TRUE = np.repeat(np.arange(3), SIZES)


def planted(seed: int = 0) -> Float[ndarray, "samples proj"]:
    """Three directions, with samples of very different lengths around each."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.normal(size=(20, 3)))[0].T
    lengths = np.exp(2 * random.normal(size=(100, 1)))
    return lengths * (directions[TRUE] + 0.05 * random.normal(size=(100, 20)))


def clustered(features: Float[ndarray, "samples proj"], number: int) -> Clusters:
    return cluster(features.__getitem__, len(features), number)


def assigned(found: Clusters, features: Float[ndarray, "samples proj"]) -> list[int]:
    return found.assign(features.__getitem__, len(features)).tolist()


@pytest.mark.parametrize("whole", [True, False])
def test_planted_directions_are_found_the_largest_first(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a part of the samples, and with a few of them in memory at a time."""
    if not whole:
        monkeypatch.setattr(clusters, "FITTED_NUMBERS", 60 * 20)
        monkeypatch.setattr(clusters, "BLOCK_NUMBERS", 7 * 20)
    features = planted()
    read: list[int] = []

    def rows(places: Int[ndarray, " rows"]) -> Float[ndarray, "rows proj"]:
        read.append(len(places))
        return features[places]

    found = cluster(rows, 100, 3)
    assert found.assign(rows, 100).tolist() == TRUE.tolist()
    assert read == ([1, 100, 100] if whole else [1, 60, *[7] * 14, 2])
    assert assigned(found, 1000 * features) == TRUE.tolist()


def test_the_same_seed_gives_the_same_clusters_whatever_the_order() -> None:
    features = planted()
    order = np.random.default_rng(1).permutation(100)
    assert assigned(clustered(features[order], 3), features) == TRUE.tolist()


def test_names_are_sorted_as_the_numbers_are() -> None:
    for number in (2, 100, 101):
        names = Clusters(np.zeros((number, 1))).names
        assert list(names) == sorted(set(names))
    assert Clusters(np.zeros((2, 1))).names == ("cluster_00", "cluster_01")


def test_no_cluster_is_without_a_sample() -> None:
    features = np.repeat(np.eye(4)[:3], (5, 3, 1), axis=0)
    found = clustered(features, 7)
    assert assigned(found, features) == [0] * 5 + [1] * 3 + [2]
    assert len(found.names) == 3


def test_zeros_are_samples_too_and_what_is_no_number_is_named() -> None:
    features = planted()
    features[4] = 0
    assert len(assigned(clustered(features, 3), features)) == 100
    features[7, 2] = np.inf
    with pytest.raises(UsageError, match="feature of sample 7"):
        clustered(features, 3)
    with pytest.raises(UsageError, match="100 samples cannot form 101 clusters"):
        clustered(planted(), 101)
