"""Padded tensors of a batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from finetune_cot.batches.encoding import IGNORED, EncodedExample
from finetune_cot.batches.grouping import shuffled_batches, sorted_batches


@dataclass(frozen=True)
class Batch:
    """Samples padded on the right to the longest of them."""

    input_ids: Int[Tensor, "samples tokens"]
    attention_mask: Bool[Tensor, "samples tokens"]
    labels: Int[Tensor, "samples targets"]
    tasks: tuple[str, ...]
    sample_indices: tuple[int, ...]

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on another device."""
        tensors = (
            item.to(device, non_blocking=True) for item in (self.input_ids, self.attention_mask, self.labels)
        )
        return Batch(*tensors, self.tasks, self.sample_indices)


def collate(examples: Sequence[EncodedExample], pad_token_id: int) -> Batch:
    """Pad samples to one batch."""
    input_ids = _pad([example.input_ids for example in examples], pad_token_id)
    lengths = torch.tensor([len(example.input_ids) for example in examples])
    return Batch(
        input_ids=input_ids,
        attention_mask=torch.arange(input_ids.shape[1])[None, :] < lengths[:, None],
        labels=_pad([example.labels for example in examples], IGNORED),
        tasks=tuple(example.task for example in examples),
        sample_indices=tuple(example.sample_index for example in examples),
    )


def _pad(rows: Sequence[tuple[int, ...]], value: int) -> Int[Tensor, "samples tokens"]:
    padded = torch.full((len(rows), max(map(len, rows))), value, dtype=torch.long)
    for position, row in enumerate(rows):
        padded[position, : len(row)] = torch.tensor(row)
    return padded


class ShuffledBatches:
    """Batches of every epoch, one epoch per iteration, with a position that can be saved and set.

    Lightning saves ``state_dict`` with a checkpoint and sets it before a resumed run goes on.
    """

    def __init__(
        self, examples: Sequence[EncodedExample], batch_size: int, pad_token_id: int, seed: int
    ) -> None:
        self._examples = examples
        self._lengths = [example.length for example in examples]
        self._batch_size = batch_size
        self._pad_token_id = pad_token_id
        self._seed = seed
        self._epoch = 0
        self._position = 0

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._examples) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch; then the next epoch begins."""
        batches = shuffled_batches(self._lengths, self._batch_size, self._seed, self._epoch)
        while self._position < len(batches):
            batch = batches[self._position]
            self._position += 1
            yield collate([self._examples[index] for index in batch], self._pad_token_id)
        self._epoch += 1
        self._position = 0

    def state_dict(self) -> dict[str, Any]:
        """Epoch, and batches of it that were given out."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved position."""
        self._epoch, self._position = state["epoch"], state["position"]
        if self._position >= len(self):
            self._epoch, self._position = self._epoch + 1, 0


class SortedBatches:
    """Batches of a pass over a dev set, longest samples first."""

    def __init__(self, examples: Sequence[EncodedExample], batch_size: int, pad_token_id: int) -> None:
        self._examples = examples
        self._batches = sorted_batches([example.length for example in examples], batch_size)
        self._pad_token_id = pad_token_id

    def __len__(self) -> int:
        """Batches of the pass."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Every batch once."""
        for batch in self._batches:
            yield collate([self._examples[index] for index in batch], self._pad_token_id)
