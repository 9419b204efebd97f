"""What a report is made from: everything that was found under ``saved/``, and what could not be read."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.manifest import Manifest
from finetune_cot.artifacts.results import ResultRow
from finetune_cot.artifacts.students import Student
from finetune_cot.evaluation.checkers import Verdict
from finetune_cot.evaluation.scores import Score
from finetune_cot.reporting.comparisons import Comparison
from finetune_cot.training.settings import EpochLosses


@dataclass(frozen=True)
class Lengths:
    """How long the texts of one file are."""

    words: tuple[int, ...]
    """Words of each text with its rationale, ascending."""
    tokens: tuple[int, ...] = ()
    """New tokens of each completion, both steps together, ascending; empty where the file does not tell."""
    limit: int | None = None
    """New tokens that a rationale, or a whole answer of one step, may have at most."""
    cut_off: int | None = None
    """Completions that ended at that limit; None where the file does not tell."""


@dataclass(frozen=True)
class Repeated:
    """What the first completions of each question would give together."""

    completions: int
    """Completions of a question."""
    questions: int
    """Questions that have so many."""
    majority: int
    """Questions whose most frequent prediction is right; of equally frequent ones the first counts."""
    any: int
    """Questions of which any of these completions is right."""


@dataclass(frozen=True)
class Shown:
    """A completion as people read it."""

    sample_index: int
    completion_index: int
    question: str
    rationale: str
    """Empty where answer and rationale are one text."""
    completion: str
    answer: str
    """The right one."""
    verdict: Verdict


@dataclass(frozen=True)
class SplitScore:
    """How often completions are right on the test part of one of a data set's splits."""

    split: str
    n: int
    is_whole: bool
    """Whether every question of the part was answered."""
    accuracy: float
    stderr: float


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
    lengths: Lengths = Lengths(())
    repeated: tuple[Repeated, ...] = ()
    """For 1, 2, 4, ... completions of a question, and for all of them; empty where there is one of each."""
    shown: tuple[Shown, ...] = ()
    """Completions that people may read: all, or some of them, evenly spread."""
    prompt_tokens: int = 0
    """Of all completions; 0 where the file does not tell."""
    completion_tokens: int = 0
    by_split: tuple[SplitScore, ...] = ()
    """On the test part of every split of the data set; empty where it has one alone."""
    platform: str | None = None
    """``local``, or the kind of server where the model ran; None where nothing tells."""
    manifest: Manifest | None = None
    """Of the file, where it has one."""

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
    samples: int | None = None
    """Samples that it was trained on; None while it is not done."""
    dev_samples: int | None = None


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
    lengths: Lengths = Lengths(())
    """Of the rationales with their answers."""
    manifest: Manifest | None = None
    """Of the file, where it has one."""


@dataclass(frozen=True)
class DatasetFacts:
    """How large a data set is, and how often chance alone would be right."""

    key: str
    tasks: int
    samples: int
    train: int | None
    """Samples to train on; None where there is no such split."""
    test: int | None
    random: float | None
    """Expected accuracy of drawing among the choices; None where answers are not chosen from a list."""
    train_random: float | None
    """Expected accuracy, on the test part, of drawing from the answers of the training part."""


@dataclass(frozen=True)
class Selection:
    """Tasks that `select` chose, or groups of them."""

    name: str
    """Of the list under ``sampled_indices``."""
    gradients: str
    """Name of the gradients that it was chosen by."""
    how: str
    subsets: tuple[tuple[int, ...], ...]
    """Numbers of the tasks: one subset, or several groups."""


@dataclass(frozen=True)
class Made:
    """An artifact and the command that made it."""

    path: str
    """Relative to ``saved/``."""
    manifest: Manifest
    replays: str
    """What ``--config`` takes to make it again, from where the report was made."""


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
    samples: int | None = None
    """Samples whose margins were compared; None where the file does not tell."""


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
    datasets: tuple[DatasetFacts, ...] = ()
    """Data sets that completions were measured on."""
    selections: tuple[Selection, ...] = ()
    made: tuple[Made, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    inputs: tuple[str, ...] = ()
    """Paths of the files that were read, relative to ``saved/``."""
