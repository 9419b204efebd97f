"""What takes no gradient at all: baselines that every estimator must do better than."""

from collections.abc import Sequence

import numpy as np

from finetune_cot.estimation.estimates import Estimates, EstimatorSettings
from finetune_cot.estimation.features import Features, Subset
from finetune_cot.estimation.subset_matrix import subset_matrix


def subset_size(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """More training samples, lower losses."""
    counts = np.bincount(features.train_task, minlength=len(features.tasks))
    sizes = subset_matrix(subsets, len(features.tasks)) @ counts
    return Estimates(
        -np.repeat(sizes[:, None].astype(float), len(features.tasks), axis=1), "subset-size", is_loss=False
    )


def membership(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """A subset that holds the target task before one that does not, and among equals the larger one."""
    held = subset_matrix(subsets, len(features.tasks)).astype(float)
    counts = np.bincount(features.train_task, minlength=len(features.tasks))
    share = held @ counts / max(int(counts.sum()), 1)
    return Estimates(-(held + 0.5 * share[:, None]), "membership", is_loss=False)
