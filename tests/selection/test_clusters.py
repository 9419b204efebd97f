import numpy as np
import pytest
from jaxtyping import Float
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


@pytest.mark.parametrize("whole", [True, False])
def test_planted_directions_are_found_the_largest_first(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MAX_WHOLE", 1000 if whole else 10)
    features = planted()
    found = cluster(features, 3)
    assert found.assign(features).tolist() == TRUE.tolist()
    assert found.assign(1000 * features).tolist() == TRUE.tolist()


def test_the_same_seed_gives_the_same_clusters_whatever_the_order() -> None:
    features = planted()
    order = np.random.default_rng(1).permutation(100)
    assert cluster(features[order], 3).assign(features).tolist() == TRUE.tolist()


def test_names_are_sorted_as_the_numbers_are() -> None:
    for number in (2, 100, 101):
        names = Clusters(np.zeros((number, 1))).names
        assert list(names) == sorted(set(names))
    assert Clusters(np.zeros((2, 1))).names == ("cluster_00", "cluster_01")


def test_zeros_are_samples_too_and_what_is_no_number_is_named() -> None:
    features = planted()
    features[4] = 0
    assert len(cluster(features, 3).assign(features)) == 100
    features[7, 2] = np.inf
    with pytest.raises(UsageError, match="feature of sample 7"):
        cluster(features, 3)
    with pytest.raises(UsageError, match="100 samples cannot form 101 clusters"):
        cluster(planted(), 101)
