"""What a data set is made of: samples, the form of their answers, and the split into train and test."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from finetune_cot.errors import DataError

AnswerKind = Literal["choice", "number", "yes_no", "letters", "label", "score"]


@dataclass(frozen=True)
class Sample:
    """A question and its right answer."""

    sample_index: int
    """The sample's name within its data set; not its position."""
    question: str
    answer: str
    task: str
    """The task that the sample belongs to; in a data set of one task, the key of the data set."""
    rationale: str | None = None
    """A human or generated explanation that leads to the answer."""
    texts: tuple[str, ...] = ()
    """What a classifier reads, one text or two; empty where a question is asked."""


@dataclass(frozen=True)
class AnswerFormat:
    """What an answer looks like, and so how it is found in a completion and compared."""

    kind: AnswerKind
    """``letters``: the whole text without quotes, dots and white space; ``label``: just the whole text;
    ``score``: a number that is close to the right one or not, but neither right nor wrong."""
    choices: str = ""
    """The letters to choose from, such as ABCDE; for the kind ``choice`` only."""
    compare_as_float: bool = False
    """Whether 3 and 3.0 are the same answer; for the kind ``number`` only."""


@dataclass(frozen=True)
class Dataset:
    """The samples of a data set.

    Raises:
        DataError: two samples share an index, or a task has no answer format.
    """

    key: str
    samples: tuple[Sample, ...]
    source: str
    """Where it comes from: the path of a file, or how it was generated."""
    answer_formats: Mapping[str, AnswerFormat]
    """Answer format of each task."""

    def __post_init__(self) -> None:
        if len(self._by_index) < len(self.samples):
            raise DataError("two samples have the same sample_index", where=self.source)
        if unknown := {sample.task for sample in self.samples} - self.answer_formats.keys():
            raise DataError(f"no answer format is known for {', '.join(sorted(unknown))}", where=self.source)

    @cached_property
    def _by_index(self) -> dict[int, Sample]:
        return {sample.sample_index: sample for sample in self.samples}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the samples, in order of appearance."""
        return tuple(dict.fromkeys(sample.task for sample in self.samples))

    def sample(self, sample_index: int) -> Sample:
        """The sample of that index.

        Raises:
            DataError: there is none.
        """
        try:
            return self._by_index[sample_index]
        except KeyError:
            raise DataError(
                f"{self.key} has no sample {sample_index}",
                where=self.source,
                remedy="check that the split or the completions belong to this data set",
            ) from None

    def select(self, indices: Iterable[int]) -> list[Sample]:
        """The samples of those indices, in their order.

        Raises:
            DataError: one of them is missing.
        """
        return [self.sample(index) for index in indices]


@dataclass(frozen=True)
class Split:
    """Which samples are trained on and which are measured on."""

    train: tuple[int, ...]
    """Sample indices."""
    test: tuple[int, ...]
    """Sample indices."""
    generated: bool
    """Whether it was drawn by the published rule rather than read from a file."""
    absent: int = 0
    """Samples that the split names and the data set does not have, such as AQuA's training part."""
