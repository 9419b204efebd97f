"""Batches under a token budget: as many samples as fit, of lengths so alike that little is padding."""

import math
from collections.abc import Iterator, Sequence

from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import EncodedExample

PADDING = 1.1
"""Tokens of a batch, padding included, per token of its samples: at most this many."""


def budget_batches(
    lengths: Sequence[tuple[int, int]], max_tokens: int, padding: float = PADDING
) -> list[list[int]]:
    """Which samples share a batch, longest first, so that memory runs out at once or never.

    Args:
        lengths: Tokens of each sample on both sides: of the input, and of an encoder-decoder's target (0 for
            a decoder).
        max_tokens: Tokens of a batch with its padding, on both sides together; a longer sample is alone.
        padding: Most tokens per real token in every batch, 1 for none.

    Returns:
        Positions of the samples of each batch.
    """
    batches: list[list[int]] = []
    widest, real = (0, 0), 0
    for position in sorted(range(len(lengths)), key=lambda position: _order(lengths[position])):
        length = lengths[position]
        wider = (max(widest[0], length[0]), max(widest[1], length[1]))
        count = len(batches[-1]) + 1 if batches else 1
        tokens = count * sum(wider)
        if not batches or tokens > max_tokens or tokens > padding * (real + sum(length)):
            batches.append([position])
            widest, real = length, sum(length)
        else:
            batches[-1].append(position)
            widest, real = wider, real + sum(length)
    return batches


class BudgetBatches:
    """Batches of a pass over a data set, under a token budget.

    Args:
        examples: The samples, in any order.
        max_tokens: As in `budget_batches`.
        pad_token_id: Token that fills up short samples.
        encoder_decoder: Whether the labels are a text of their own, which the decoder reads.
    """

    def __init__(
        self,
        examples: Sequence[EncodedExample],
        max_tokens: int,
        pad_token_id: int,
        *,
        encoder_decoder: bool = False,
    ) -> None:
        self._examples = examples
        self._pad_token_id = pad_token_id
        lengths = [
            (len(example.input_ids), len(example.labels) if encoder_decoder else 0) for example in examples
        ]
        self.positions = budget_batches(lengths, max_tokens)
        """Positions in ``examples`` of each batch's samples."""

    def __len__(self) -> int:
        """Batches of the pass."""
        return len(self.positions)

    def __iter__(self) -> Iterator[Batch]:
        """Every batch once."""
        for batch in self.positions:
            yield collate([self._examples[position] for position in batch], self._pad_token_id)


def _order(length: tuple[int, int]) -> tuple[int, int, int]:
    """By classes of inputs of similar length, and within one by target, longest first."""
    inputs, targets = length
    similar = round(math.log(max(inputs, 1), PADDING)) if targets else 0
    return (-similar, -targets, -inputs)
