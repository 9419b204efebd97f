"""Padded tensors of a batch."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from finetune_cot.batches.encoding import IGNORED, Choice, EncodedExample
from finetune_cot.batches.grouping import shuffled_batches, sorted_batches


class Choices(NamedTuple):
    """What a classifier is to say of the samples of a batch."""

    allowed: Bool[Tensor, "samples classes"]
    """Which rows of the head are of the labels that the sample's is one of."""
    scores: Float[Tensor, " samples"]
    """What a regression is to give; not a number for a class."""
    token_types: Int[Tensor, "samples tokens"] | None
    """1 in the second of two texts; None where the model knows no types."""
    label_sets: tuple[str, ...]
    """The tasks whose labels are chosen from."""

    def guesses(self, logits: Float[Tensor, "samples classes"]) -> list[float]:
        """What a classifier says of each sample: number of the likeliest of its task's labels, or the score.

        Args:
            logits: With minus infinity at labels of other tasks.
        """
        first = self.allowed.int().argmax(dim=1)
        scores = logits.float().gather(1, first[:, None])[:, 0]
        return torch.where(self.scores.isnan(), (logits.argmax(dim=1) - first).float(), scores).tolist()

    def right(self, labels: Int[Tensor, "samples 1"]) -> list[float]:
        """What `guesses` should be, given the right rows of the head."""
        number = labels[:, 0] - self.allowed.int().argmax(dim=1)
        return torch.where(self.scores.isnan(), number.float(), self.scores).tolist()

    def to(self, device: torch.device) -> "Choices":
        """The same with its tensors on another device."""
        types = self.token_types
        return self._replace(
            allowed=self.allowed.to(device, non_blocking=True),
            scores=self.scores.to(device, non_blocking=True),
            token_types=None if types is None else types.to(device, non_blocking=True),
        )


class Batch(NamedTuple):
    """Samples padded on the right to the longest of them; a tuple, as Lightning takes no frozen dataclass."""

    input_ids: Int[Tensor, "samples tokens"]
    attention_mask: Int[Tensor, "samples tokens"]
    """1 for a token, 0 for padding."""
    labels: Int[Tensor, "samples targets"]
    tasks: tuple[str, ...]
    sample_indices: tuple[int, ...]
    step_label_tokens: int
    """Tokens that carry loss in all batches of the optimizer step that this batch is part of."""
    choices: Choices | None = None
    """For a classifier alone, whose labels are rows of its head, one a sample."""

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What a model reads, by the names of its arguments."""
        given = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        if self.choices and self.choices.token_types is not None:
            given["token_type_ids"] = self.choices.token_types
        return given

    @property
    def is_filler(self) -> bool:
        """Whether its samples do not count: a process that is left without any keeps step with the others."""
        return not self.tasks

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its tensors on another device."""
        return self._replace(
            input_ids=self.input_ids.to(device, non_blocking=True),
            attention_mask=self.attention_mask.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            choices=self.choices and self.choices.to(device),
        )

    def only(self, place: int) -> "Batch":
        """The batch of one of its samples, with the filling that it has."""
        part, choices = slice(place, place + 1), self.choices
        if choices:
            types = choices.token_types
            choices = Choices(
                choices.allowed[part],
                choices.scores[part],
                None if types is None else types[part],
                choices.label_sets[part],
            )
        return Batch(
            self.input_ids[part],
            self.attention_mask[part],
            self.labels[part],
            self.tasks[part],
            self.sample_indices[part],
            self.step_label_tokens,
            choices,
        )


def collate(
    examples: Sequence[EncodedExample], pad_token_id: int, step_label_tokens: int | None = None
) -> Batch:
    """Pad samples to one batch.

    Args:
        examples: The samples.
        pad_token_id: Token that fills up short samples.
        step_label_tokens: As in `Batch`; by default the batch is an optimizer step of its own.
    """
    if step_label_tokens is None:
        step_label_tokens = sum(example.label_tokens for example in examples)
    input_ids = _pad([example.input_ids for example in examples], pad_token_id)
    lengths = torch.tensor([len(example.input_ids) for example in examples])
    return Batch(
        input_ids=input_ids,
        attention_mask=(torch.arange(input_ids.shape[1])[None, :] < lengths[:, None]).long(),
        labels=_pad([example.labels for example in examples], IGNORED),
        tasks=tuple(example.task for example in examples),
        sample_indices=tuple(example.sample_index for example in examples),
        step_label_tokens=step_label_tokens,
        choices=_choices([example.choice for example in examples if example.choice]),
    )


def _choices(samples: Sequence[Choice]) -> Choices | None:
    if not samples:
        return None
    rows = torch.arange(samples[0].head_rows)
    typed = any(sample.token_types for sample in samples)
    return Choices(
        allowed=torch.stack([(rows >= sample.rows.start) & (rows < sample.rows.stop) for sample in samples]),
        scores=torch.tensor([math.nan if sample.score is None else sample.score for sample in samples]),
        token_types=_pad([sample.token_types for sample in samples], 0) if typed else None,
        label_sets=tuple(sample.label_set for sample in samples),
    )


@dataclass(frozen=True)
class Part:
    """Which part of the batches is a process's own."""

    rank: int = 0
    world: int = 1


def filler(example: EncodedExample, pad_token_id: int, step_label_tokens: int | None = None) -> Batch:
    """A batch with a sample that does not count."""
    return collate([example], pad_token_id, step_label_tokens)._replace(tasks=(), sample_indices=())


def _pad(rows: Sequence[tuple[int, ...]], value: int) -> Int[Tensor, "samples tokens"]:
    padded = torch.full((len(rows), max(map(len, rows))), value, dtype=torch.long)
    for position, row in enumerate(rows):
        padded[position, : len(row)] = torch.tensor(row)
    return padded


class ShuffledBatches:
    """Batches of every epoch, one epoch per iteration, with a position that can be saved and set.

    Lightning saves ``state_dict`` with a checkpoint and sets it before a resumed run goes on.

    Args:
        examples: What to make batches of.
        batch_size: Samples of a batch; the last one may be smaller.
        pad_token_id: Token that fills up short samples.
        seed: Seed of the order.
        accumulate: Batches of an optimizer step.
        part: Which samples of each batch are given out: every ``world``-th, as those of a batch are sorted
            by length; the batches, and so the position, are the same for all parts.
    """

    def __init__(
        self,
        examples: Sequence[EncodedExample],
        batch_size: int,
        pad_token_id: int,
        seed: int,
        accumulate: int = 1,
        part: Part = Part(),
    ) -> None:
        self._part = part
        self._examples = examples
        self._lengths = [example.length for example in examples]
        self._label_tokens = [example.label_tokens for example in examples]
        self._batch_size = batch_size
        self._accumulate = accumulate
        self._pad_token_id = pad_token_id
        self._seed = seed
        self._epoch = 0
        self._position = 0

    def __len__(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._examples) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch; of the next one, when all of it was given out."""
        if self._position >= len(self):
            self._epoch, self._position = self._epoch + 1, 0
        batches = shuffled_batches(self._lengths, self._batch_size, self._seed, self._epoch)
        while self._position < len(batches):
            batch = batches[self._position]
            first = self._position - self._position % self._accumulate
            step = [index for part in batches[first : first + self._accumulate] for index in part]
            step_label_tokens = sum(self._label_tokens[index] for index in step)
            self._position += 1
            own = [self._examples[index] for index in batch[self._part.rank :: self._part.world]]
            if own:
                yield collate(own, self._pad_token_id, step_label_tokens)
            else:
                yield filler(self._examples[batch[0]], self._pad_token_id, step_label_tokens)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, and batches of it that were given out."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved position."""
        self._epoch, self._position = state["epoch"], state["position"]


class SortedBatches:
    """Batches of a pass over a dev set, longest samples first.

    Args:
        examples: The dev samples; at least one.
        batch_size: Samples of a batch.
        pad_token_id: Token that fills up short samples.
        part: Which batches are given out; every part has as many, if need be with one that does not count.
    """

    def __init__(
        self,
        examples: Sequence[EncodedExample],
        batch_size: int,
        pad_token_id: int,
        part: Part = Part(),
    ) -> None:
        self._examples = examples
        batches = sorted_batches([example.length for example in examples], batch_size)
        self._batches = batches[part.rank :: part.world]
        self._fillers = -(-len(batches) // part.world) - len(self._batches)
        self._pad_token_id = pad_token_id

    def __len__(self) -> int:
        """Batches of the pass."""
        return len(self._batches) + self._fillers

    def __iter__(self) -> Iterator[Batch]:
        """Every batch once."""
        for batch in self._batches:
            yield collate([self._examples[index] for index in batch], self._pad_token_id)
        for _ in range(self._fillers):
            yield filler(self._examples[0], self._pad_token_id)
