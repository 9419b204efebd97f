"""Several adapters on one base model as one model: the average of their probabilities, token by token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Mixture:
    """Which adapters, and how much each of them says."""

    adapters: tuple[str, ...]
    """Their names in the PEFT model."""
    weights: tuple[float, ...]
    """Their shares in a probability; they add up to 1."""
    weights_by_task: Mapping[str, tuple[float, ...]]
    """The same for samples of a task that has shares of its own."""

    def rows(self, tasks: Sequence[str], temperature: float) -> "MixtureRows":
        """A batch in which every sample stands once for each adapter, all samples of an adapter in a row.

        Args:
            tasks: The samples' tasks; those that are not known have the shares of all.
            temperature: 0 takes the likeliest tokens.
        """
        shares = [self.weights_by_task.get(task, self.weights) for task in tasks]
        return MixtureRows(
            copies=len(self.adapters),
            adapters=tuple(name for name in self.adapters for _ in tasks),
            log_weights=torch.tensor(shares).log().T.flatten(),
            temperature=temperature,
        )

    def log_probabilities(
        self, logits: Sequence[Float[Tensor, "samples classes"]], tasks: Sequence[str]
    ) -> Float[Tensor, "samples classes"]:
        """What adapters that classify say together.

        Args:
            logits: Of each adapter.
            tasks: The samples' tasks; those that are not known have the shares of all.
        """
        shares = torch.tensor([self.weights_by_task.get(task, self.weights) for task in tasks])
        each = torch.stack([found.float().log_softmax(dim=-1) for found in logits])
        return (each + shares.to(each).log().T[:, :, None]).logsumexp(dim=0)


@dataclass(frozen=True)
class MixtureRows:
    """The rows of a batch."""

    copies: int
    """Rows of a sample."""
    adapters: tuple[str, ...]
    log_weights: Float[Tensor, " rows"]
    temperature: float

    def arguments(self, rows: Sequence[int]) -> dict[str, Any]:
        """What ``generate`` is to be given for those rows that go on; a sample's rows do so together."""
        average = _Average(self.copies, self.log_weights[list(rows)], self.temperature)
        return {"adapter_names": [self.adapters[row] for row in rows], "logits_processor": [average]}


class _Average:
    """Puts a mixture's distribution in place of every adapter's; called by transformers before each token.

    It draws too, by adding the same Gumbel noise to all rows of a sample, so that they go on alike: what is
    likeliest then is a draw.
    """

    def __init__(self, copies: int, log_weights: Float[Tensor, " rows"], temperature: float) -> None:
        self._copies = copies
        self._log_weights = log_weights
        self._temperature = temperature

    def __call__(
        self, input_ids: Int[Tensor, "rows tokens"], scores: Float[Tensor, "rows vocabulary"]
    ) -> Float[Tensor, "rows vocabulary"]:
        """The same logarithms of probabilities for all rows of a sample, noise included."""
        weighted = scores.float().log_softmax(dim=-1) + self._log_weights.to(scores.device)[:, None]
        mixed = weighted.view(self._copies, -1, weighted.shape[1]).logsumexp(dim=0)
        if self._temperature > 0:
            mixed = mixed / self._temperature - torch.empty_like(mixed).exponential_().log()
        return mixed.repeat(self._copies, 1)
