"""Tasks for data that name none: k-means clusters of the samples' features."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from finetune_cot.errors import UsageError

MAX_WHOLE = 20_000
"""Samples that are clustered as a whole; of more, batches at a time."""
STARTS = 4
"""Random starts, of which the best is kept."""


@dataclass(frozen=True)
class Clusters:
    """Directions in feature space around which samples gather."""

    centres: Float[ndarray, "clusters proj"]

    def assign(self, features: Float[ndarray, "samples proj"]) -> Int[ndarray, " samples"]:
        """Number of each sample's nearest cluster, such as of dev samples."""
        # |x - c|^2 without |x|^2, which is the same for every cluster
        distances = (self.centres**2).sum(axis=1) - 2 * _directions(features) @ self.centres.T
        nearest: Int[ndarray, " samples"] = np.argmin(distances, axis=1)
        return nearest

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the clusters as tasks; in the order of their numbers they are sorted."""
        digits = max(len(str(len(self.centres) - 1)), 2)
        return tuple(f"cluster_{number:0{digits}}" for number in range(len(self.centres)))


def cluster(features: Float[ndarray, "samples proj"], number: int, seed: int = 0) -> Clusters:
    """K-means of the features' directions; their lengths say more of a sample's loss than of its kind.

    Clusters are numbered by their size, the largest first.

    Raises:
        UsageError: fewer samples than clusters, or a feature is not a number.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if not 1 <= number <= len(features):
        raise UsageError(f"{len(features)} samples cannot form {number} clusters", where="--num-clusters")
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise UsageError(f"a feature of sample {row} is no finite number")
    directions = _directions(features)
    kind = KMeans if len(features) <= MAX_WHOLE else MiniBatchKMeans
    fitted = kind(number, n_init=STARTS, random_state=seed).fit(directions)
    sizes = np.bincount(fitted.labels_, minlength=number)
    return Clusters(fitted.cluster_centers_[np.argsort(-sizes, kind="stable")])


def _directions(features: Float[ndarray, "samples proj"]) -> Float[ndarray, "samples proj"]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions: Float[ndarray, "samples proj"] = features / np.where(lengths > 0, lengths, 1.0)
    return directions
