"""Token ids and labels of one training sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from finetune_cot.prompts.segments import Segment
from finetune_cot.tasks.label_space import LabelSpace
from finetune_cot.tasks.sample import Sample

IGNORED = -100
"""Label of a token that carries no loss, by PyTorch's convention."""


@dataclass(frozen=True)
class Choice:
    """What a classifier is to say of a sample."""

    label_set: str
    """The task whose labels are chosen from."""
    rows: range
    """Rows of the head that are of these labels."""
    head_rows: int
    """Rows of the whole head."""
    score: float | None
    """The number that a regression is to give; None of a class."""
    token_types: tuple[int, ...] = ()
    """1 for each token of the second of two texts, 0 for others; empty where the model knows no types."""


@dataclass(frozen=True)
class EncodedExample:
    """A training sample as token ids.

    For a decoder ``labels`` is as long as ``input_ids`` and `IGNORED` outside the labelled segments; for an
    encoder-decoder it holds the decoder's target alone; for a classifier the row of the head that is right.
    """

    sample_index: int
    task: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    choice: Choice | None = None
    """For a classifier alone."""

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


def encode_choice(tokenizer: Any, labels: LabelSpace, sample: Sample, task: str) -> EncodedExample:
    """Tokenize a sample for a classifier.

    Encoders, whose tokenizers know how to begin a text and to part two, read the texts themselves; other
    models read them in the words of the question.

    Args:
        tokenizer: A transformers tokenizer.
        labels: What the rows of the head mean.
        sample: Texts with the right label, or the right score, of one of the head's tasks.
        task: Task that the sample counts for, which may be a group of samples.
    """
    reads_pairs = tokenizer.cls_token is not None and tokenizer.sep_token is not None
    found = tokenizer(*sample.texts) if reads_pairs else tokenizer(sample.question.strip())
    types = found.get("token_type_ids") if reads_pairs else None
    rows, value = labels.rows(sample.task), labels.value(sample.task, sample.answer)
    score = value if labels.is_regression(sample.task) else None
    right = rows[int(value)] if score is None else rows.start
    choice = Choice(sample.task, rows, len(labels.names), score, tuple(types or ()))
    return EncodedExample(sample.sample_index, task, tuple(found["input_ids"]), (right,), choice)


def show_masked(
    tokenizer: Any, example: EncodedExample, model_type: str, labels: LabelSpace | None = None
) -> str:
    """The sample as text, with the tokens that carry loss, or the label, in double brackets."""
    if example.choice and labels:
        right = labels.names[example.labels[0]] if example.choice.score is None else example.choice.score
        return f"{tokenizer.decode(example.input_ids)} [[{right}]]"
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
