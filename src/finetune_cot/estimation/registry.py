"""Estimators by name."""

from collections.abc import Mapping
from types import MappingProxyType

from finetune_cot.estimation import baselines, gradex, similarity
from finetune_cot.estimation.estimates import Estimator

ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        "gradex": gradex.gradex,
        "subset-cosine": similarity.subset_cosine,
        "task-cosine": similarity.task_cosine,
        "cosine": similarity.cosine,
        "inner-product": similarity.inner_product,
        "trak": similarity.trak,
        "seed": gradex.seed,
        "norm": gradex.step_norm,
        "membership": baselines.membership,
        "subset-size": baselines.subset_size,
    }
)
