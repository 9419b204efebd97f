"""From a completion file to its accuracy on a part of its data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import FtcotError
from finetune_cot.evaluation.checkers import Verdict, check_completion
from finetune_cot.evaluation.scores import Score, score_questions
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS, infer_answer_format
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import AnswerFormat, Sample
from finetune_cot.tasks.splits import part_indices

OTHER = "other"
"""Name of whatever lies outside the part that is asked for."""


@dataclass(frozen=True)
class Yardstick:
    """What the completions of a data set are measured on."""

    part: str
    questions: frozenset[int] | None
    """Sample indices of the part; None where the data set or its split is not known: all are scored."""
    formats: Mapping[int, AnswerFormat] | None
    """Answer format of each sample; None where the data set is not known."""
    problem: str | None = None
    """Why the part is not the one that was asked for."""


@dataclass(frozen=True)
class PartScore:
    """The score of a file's completions on a part of the data set; the fields are those of `Measurement`."""

    part: str
    as_asked: bool
    expected: int | None
    answered: frozenset[int]
    samples: int
    foreign: int
    score: Score


def yardstick(dataset_key: str, data_dir: Path, split: str, split_key: str) -> Yardstick:
    """The part of a data set that its completions are measured on; all of them where it cannot be loaded."""
    try:
        dataset = load_dataset(dataset_key, data_dir)
    except FtcotError as error:
        return Yardstick("all", None, None, f"scored over all its completions: {error}")
    formats = {sample.sample_index: dataset.answer_formats[sample.task] for sample in dataset.samples}
    try:
        questions = frozenset(part_indices(dataset, data_dir, split, split_key))
    except FtcotError as error:
        return Yardstick("all", frozenset(formats), formats, f"scored over all its samples: {error}")
    return Yardstick(split, questions, formats)


def score_part(
    completions: Sequence[Completion], template: str, measure: Yardstick, dataset_key: str, checker: str
) -> PartScore | None:
    """Score the completions of the part; where there are none of it, those of other parts.

    Returns:
        None where no completion belongs to the data set.

    Raises:
        UsageError: the checker's package is not installed.
    """
    formats = measure.formats or _assumed_formats(completions, dataset_key)
    known = [completion for completion in completions if completion.sample_index in formats]
    inside = [item for item in known if measure.questions is None or item.sample_index in measure.questions]
    scored = inside or known
    if not scored:
        return None
    verdicts: dict[int, list[Verdict]] = {}
    for completion in scored:
        verdict = check_completion(completion, formats[completion.sample_index], template, checker)
        verdicts.setdefault(completion.sample_index, []).append(verdict)
    whole = None if measure.questions is None or not inside else len(measure.questions)
    return PartScore(
        part=measure.part if inside else OTHER,
        as_asked=measure.problem is None,
        expected=whole,
        answered=frozenset(index for index, group in verdicts.items() if group[0].gradable),
        samples=max(map(len, verdicts.values())),
        foreign=len(completions) - len(known),
        score=score_questions(verdicts.values()),
    )


def _assumed_formats(completions: Sequence[Completion], dataset_key: str) -> dict[int, AnswerFormat]:
    """Answer formats by the name of an absent data set, or by what the answers look like."""
    samples = [Sample(item.sample_index, item.question, item.answer, dataset_key) for item in completions]
    answer_format = PUBLISHED_FORMATS.get(dataset_key) or infer_answer_format(samples)
    return dict.fromkeys((sample.sample_index for sample in samples), answer_format)
