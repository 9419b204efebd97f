"""Losses of an ensemble's members at every label token, and of their mixtures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from finetune_cot.training.mixture import mixture_losses, mixture_weights

if TYPE_CHECKING:
    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.models.loading import LoadedModel

_FOLDS = 2


@dataclass(frozen=True)
class MemberLosses:
    """Negative log-likelihoods of label tokens, nats."""

    losses: Float[ndarray, "members tokens"]
    sample: Int[ndarray, " tokens"]
    """Which sample a token is of."""
    tasks: tuple[str, ...]
    """Task of each sample."""
    indices: tuple[int, ...]
    """``sample_index`` of each sample."""

    def weights(self, samples: Bool[ndarray, " samples"]) -> Float[ndarray, " members"]:
        """Weights of the mixture with the lowest mean loss over some samples; equal ones without any."""
        if not samples.any():
            return np.full(len(self.losses), 1 / len(self.losses))
        tokens = samples[self.sample]
        share = 1 / np.bincount(self.sample)[self.sample[tokens]]
        return mixture_weights(self.losses[:, tokens], share)

    def by_sample(self, losses: Float[ndarray, " tokens"]) -> Float[ndarray, " samples"]:
        """Means over the tokens of each sample."""
        means: Float[ndarray, " samples"] = np.bincount(self.sample, losses) / np.bincount(self.sample)
        return means

    def of_task(self, task: str) -> Bool[ndarray, " samples"]:
        """Which samples are of a task."""
        return np.array([name == task for name in self.tasks])

    def mixed(self, weights: Mapping[str, Sequence[float]]) -> Float[ndarray, " samples"]:
        """Mean loss of each sample by the mixture of its task."""
        found = np.empty(len(self.tasks))
        for task in set(self.tasks):
            mixed = self.by_sample(mixture_losses(self.losses, np.asarray(weights[task])))
            found[self.of_task(task)] = mixed[self.of_task(task)]
        return found

    def held_out(self, task: str) -> float:
        """Mean loss of a task by mixtures whose weights were learned on its other samples.

        Weights learned on the samples that are measured would flatter the mixture.
        """
        places = np.flatnonzero(self.of_task(task))
        found = []
        for fold in range(_FOLDS):
            learned = np.zeros(len(self.tasks), dtype=bool)
            learned[np.delete(places, slice(fold, None, _FOLDS))] = True
            mixed = self.by_sample(mixture_losses(self.losses, self.weights(learned)))
            found += mixed[places[fold::_FOLDS]].tolist()
        return float(np.mean(found))


def member_losses(
    loaded: "LoadedModel", adapters: Sequence[str], examples: Sequence["EncodedExample"], batch_size: int
) -> MemberLosses:
    """Measure every member's losses of some samples.

    Args:
        loaded: A PEFT model with the members' adapters.
        adapters: Their names.
        examples: The samples.
        batch_size: Samples of a batch.
    """
    import torch

    from finetune_cot.batches.collation import SortedBatches
    from finetune_cot.models.loading import autocast_dtype
    from finetune_cot.training.loss import token_losses

    model: Any = loaded.model.eval()
    mixed = autocast_dtype(loaded.precision)
    losses: list[list[float]] = [[] for _ in adapters]
    counts: list[int] = []
    tasks: list[str] = []
    indices: list[int] = []
    for batch in SortedBatches(examples, batch_size, loaded.tokenizer.pad_token_id):
        tasks += batch.tasks
        indices += batch.sample_indices
        for place, name in enumerate(adapters):
            model.set_adapter(name)
            with torch.autocast(loaded.device.type, dtype=mixed, enabled=mixed is not None):
                found, tokens = token_losses(model, batch.to(loaded.device))
            losses[place] += found.tolist()
        counts += tokens.tolist()
    sample = np.repeat(np.arange(len(counts)), counts)
    return MemberLosses(np.array(losses), sample, tuple(tasks), tuple(indices))
