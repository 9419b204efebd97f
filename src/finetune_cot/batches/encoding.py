"""Token ids and labels of one training sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune_cot.prompts.segments import Segment

IGNORED = -100
"""Label of a token that carries no loss, by PyTorch's convention."""


@dataclass(frozen=True)
class EncodedExample:
    """A training sample as token ids.

    For a decoder ``labels`` is as long as ``input_ids`` and `IGNORED` outside the labelled segments; for an
    encoder-decoder it holds the decoder's target alone.
    """

    sample_index: int
    task: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of the longer side."""
        return max(len(self.input_ids), len(self.labels))

    @property
    def label_tokens(self) -> int:
        """Tokens that carry loss."""
        return sum(label != IGNORED for label in self.labels)


def encode(
    tokenizer: Any, model_type: str, segments: Sequence[Segment], sample_index: int, task: str
) -> EncodedExample:
    """Tokenize segments; the end-of-sequence token closes each labelled one, if its text does not.

    The prompt is tokenized by itself, as in generation, so that training and generation see the same ids.
    Where its text begins with the beginning-of-sequence token, as chat templates may write it, no second one
    is put before it.

    Args:
        tokenizer: A transformers tokenizer with an end-of-sequence token.
        model_type: ``decoder``, or ``encoder_decoder``, whose target is the last segment.
        segments: Text in order, each piece with or without loss.
        sample_index: Index of the sample in its data set.
        task: Task that the sample belongs to.
    """
    if model_type == "encoder_decoder":
        source = "".join(segment.text for segment in segments[:-1])
        target = tokenizer(segments[-1].text, add_special_tokens=False).input_ids
        closed = (*target, tokenizer.eos_token_id)
        return EncodedExample(sample_index, task, tuple(tokenizer(source).input_ids), closed)
    input_ids: list[int] = []
    labels: list[int] = []
    begun = bool(tokenizer.bos_token) and segments[0].text.startswith(tokenizer.bos_token)
    for position, segment in enumerate(segments):
        ids = tokenizer(segment.text, add_special_tokens=position == 0 and not begun).input_ids
        if segment.labelled and tokenizer.eos_token_id not in ids:
            ids = [*ids, tokenizer.eos_token_id]
        input_ids += ids
        labels += ids if segment.labelled else [IGNORED] * len(ids)
    return EncodedExample(sample_index, task, tuple(input_ids), tuple(labels))


def show_masked(tokenizer: Any, example: EncodedExample, model_type: str) -> str:
    """The sample as text, with the tokens that carry loss in double brackets."""
    if model_type == "encoder_decoder":
        return f"{tokenizer.decode(example.input_ids)} [[{tokenizer.decode(example.labels)}]]"
    pieces: list[str] = []
    start = 0
    for position in range(1, len(example.labels) + 1):
        at_end = position == len(example.labels)
        if at_end or (example.labels[position] == IGNORED) != (example.labels[start] == IGNORED):
            text = tokenizer.decode(example.input_ids[start:position])
            pieces.append(text if example.labels[start] == IGNORED else f"[[{text}]]")
            start = position
    return "".join(pieces)
