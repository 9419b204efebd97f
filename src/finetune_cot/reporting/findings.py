"""What a report is made from: everything that was found under ``saved/``, and what could not be read."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.results import ResultRow
from finetune_cot.artifacts.students import Student
from finetune_cot.evaluation.scores import Score
from finetune_cot.reporting.comparisons import Comparison
from finetune_cot.training.settings import EpochLosses


@dataclass(frozen=True)
class Measurement:
    """How often the completions of one file are right."""

    id: CompletionId
    file: str
    """Path of the file, relative to ``saved/``."""
    template: str
    temperature: float
    student: Student | None
    """What is known of the fine-tuned model; None for a base model, or where nothing is."""
    part: str
    """Part of the data set that is scored: train, test, all; or ``other`` where the file holds none of it."""
    as_asked: bool
    """Whether that is the part that was asked for; not so where data set or split cannot be read."""
    expected: int | None
    """Questions of that part; None where the data set is not known."""
    answered: frozenset[int]
    """Sample indices of the questions that have a completion and a right answer that can be read."""
    samples: int
    """Completions of a question, at most."""
    foreign: int
    """Completions of samples that the data set lacks, which are not scored."""
    score: Score
    """Over completions; its standard error is over questions."""

    @property
    def is_whole(self) -> bool:
        """Whether every question of the part was answered."""
        return self.expected is None or self.questions == self.expected

    @property
    def questions(self) -> int:
        """Questions that were answered."""
        return len(self.answered)


@dataclass(frozen=True)
class TrainingRun:
    """The losses of a training run, by epoch."""

    save_name: str
    run: int
    epochs: tuple[EpochLosses, ...]


@dataclass(frozen=True)
class TrainingData:
    """Training data that `build-finetune-data` wrote."""

    finetune_key: str
    samples: int
    questions: int
    rationales: int
    """Rationales of a question, at most; 0 for answers alone."""
    tasks: tuple[str, ...]
    teacher: str | None
    counts: Mapping[str, int]
    """What was left out when they were built, by reason."""


@dataclass(frozen=True)
class SubsetResults:
    """A ``results.csv``: dev losses of models that were trained on subsets of the tasks."""

    name: str
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True)
class Approximation:
    """Error of the first-order approximation of the margins at some distances, by seed."""

    name: str
    """Folder of the gradients."""
    distances: tuple[float, ...]
    """Relative to the norm of the weights."""
    with_gradient: tuple[tuple[float, ...], ...]
    """Relative squared error of each distance and seed."""
    without_gradient: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class LeftOut:
    """Something that the report could not use."""

    what: str
    """A path relative to ``saved/``, or a data set."""
    reason: str


@dataclass(frozen=True)
class Findings:
    """Everything that a report shows."""

    measurements: tuple[Measurement, ...] = ()
    students: tuple[Student, ...] = ()
    training_runs: tuple[TrainingRun, ...] = ()
    training_data: tuple[TrainingData, ...] = ()
    results: tuple[SubsetResults, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    approximations: tuple[Approximation, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    inputs: tuple[str, ...] = ()
    """Paths of the files that were read, relative to ``saved/``."""
