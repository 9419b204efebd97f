"""The losses of scores, and the metrics of what a classifier chose."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from finetune_cot.batches.collation import Choices
from finetune_cot.evaluation.glue_metrics import glue_metrics

Guess = tuple[float, float]
"""What was predicted, and what is right: numbers of classes, or scores."""


def with_squared_errors(
    losses: Float[Tensor, " samples"],
    logits: Float[Tensor, "samples classes"],
    labels: Int[Tensor, "samples 1"],
    choices: Choices,
) -> Float[Tensor, " samples"]:
    """Cross entropies, and in their place the squared errors of samples that ask for a score."""
    errors = logits.float().gather(1, labels)[:, 0] - choices.scores.nan_to_num()
    return torch.where(choices.scores.isnan(), losses, errors**2)


def dev_metrics(by_label_set: Mapping[str, Sequence[Guess]]) -> dict[str, float]:
    """The metrics of each of GLUE's tasks, by names such as ``rte_accuracy``."""
    return {
        f"{task}_{name}": value
        for task, pairs in sorted(by_label_set.items())
        for name, value in glue_metrics(task, *zip(*pairs, strict=True)).items()
    }
