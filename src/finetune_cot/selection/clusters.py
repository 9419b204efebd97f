"""Tasks for data that name none: k-means clusters of the samples' features."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from finetune_cot.errors import UsageError

BLOCK_NUMBERS = 1 << 24
"""Numbers of features that are assigned at a time: 64 MB."""
FITTED_NUMBERS = 1 << 27
"""Numbers of features that k-means works on, 512 MB; of more, it takes a random part of the samples."""
STARTS = 4
"""Random starts, of which the best is kept."""

Rows = Callable[[Int[ndarray, " rows"]], Float[ndarray, "rows proj"]]
"""Features of the samples at some positions, so that they need not be in memory together."""


@dataclass(frozen=True)
class Clusters:
    """Directions in feature space around which samples gather."""

    centres: Float[ndarray, "clusters proj"]

    def assign(self, rows: Rows, samples: int) -> Int[ndarray, " samples"]:
        """Number of each sample's nearest cluster, such as of dev samples; a block of samples at a time."""
        nearest = np.empty(samples, dtype=np.int64)
        offsets = (self.centres**2).sum(axis=1)
        block = max(1, BLOCK_NUMBERS // self.centres.shape[1])
        for start in range(0, samples, block):
            positions = np.arange(start, min(start + block, samples))
            # |x - c|^2 without |x|^2, which is the same for every cluster
            distances = offsets - 2 * _directions(rows(positions)) @ self.centres.T
            nearest[positions] = np.argmin(distances, axis=1)
        return nearest

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the clusters as tasks; in the order of their numbers they are sorted."""
        digits = max(len(str(len(self.centres) - 1)), 2)
        return tuple(f"cluster_{number:0{digits}}" for number in range(len(self.centres)))


def cluster(rows: Rows, samples: int, number: int, seed: int = 0) -> Clusters:
    """K-means of the features' directions; their lengths say more of a sample's loss than of its kind.

    Clusters are numbered by their size, the largest first. Where samples are alike there may be fewer than
    were asked for: none is without a sample.

    Args:
        rows: Gives the features of samples.
        samples: How many there are.
        number: Clusters.
        seed: Of the random starts, and of the part that is taken of very many samples.

    Raises:
        UsageError: fewer samples than clusters, or a feature is not a number.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if not 1 <= number <= samples:
        raise UsageError(f"{samples} samples cannot form {number} clusters", where="--num-clusters")
    width = rows(np.arange(1)).shape[1]
    count = min(samples, max(number, FITTED_NUMBERS // width))
    part = np.sort(np.random.default_rng(seed).permutation(samples)[:count])
    features = rows(part)
    if not np.isfinite(features).all():
        row = part[np.flatnonzero(~np.isfinite(features).all(axis=1))[0]]
        raise UsageError(f"a feature of sample {row} is no finite number")
    # Fewer different directions than clusters need no warning: clusters without a sample are left out below.
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        fitted = KMeans(number, n_init=STARTS, random_state=seed).fit(_directions(features))
    sizes = np.bincount(fitted.labels_, minlength=number)
    return Clusters(fitted.cluster_centers_[np.argsort(-sizes, kind="stable")][: int((sizes > 0).sum())])


def _directions(features: Float[ndarray, "samples proj"]) -> Float[ndarray, "samples proj"]:
    """Features of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit: Float[ndarray, "samples proj"] = features / np.where(lengths > 0, lengths, 1.0)
    return unit
