"""From a completion file to its accuracy on a part of its data set."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import FtcotError
from finetune_cot.evaluation.checkers import Verdict, check_completion
from finetune_cot.evaluation.scores import Score, score_questions
from finetune_cot.reporting.chance import dataset_facts
from finetune_cot.reporting.findings import DatasetFacts, Lengths, Repeated, Shown, SplitScore
from finetune_cot.reporting.lengths import completion_lengths
from finetune_cot.reporting.repetition import repeated_inference
from finetune_cot.reporting.samples import MAX_SHOWN, evenly, shown
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS, infer_answer_format
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample
from finetune_cot.tasks.splits import part_indices, split_keys

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
    facts: DatasetFacts | None = None
    """None where the data set is not known."""
    tests: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Sample indices of the test part of each split; none where there are not several."""


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
    lengths: Lengths
    repeated: tuple[Repeated, ...]
    shown: tuple[Shown, ...]
    prompt_tokens: int
    completion_tokens: int
    by_split: tuple[SplitScore, ...]


def yardstick(dataset_key: str, data_dir: Path, split: str, split_key: str) -> Yardstick:
    """The part of a data set that its completions are measured on; all of them where it cannot be loaded."""
    try:
        dataset = load_dataset(dataset_key, data_dir)
    except FtcotError as error:
        return Yardstick("all", None, None, f"scored over all its completions: {error}")
    formats = {sample.sample_index: dataset.answer_formats[sample.task] for sample in dataset.samples}
    facts = dataset_facts(dataset, data_dir, split_key)
    try:
        questions = frozenset(part_indices(dataset, data_dir, split, split_key))
    except FtcotError as error:
        return Yardstick("all", frozenset(formats), formats, f"scored over all its samples: {error}", facts)
    return Yardstick(split, questions, formats, facts=facts, tests=_tests(dataset, data_dir))


def score_part(
    completions: Sequence[Completion],
    template: str,
    measure: Yardstick,
    dataset_key: str,
    checker: str,
    limit: int | None = None,
) -> PartScore | None:
    """Score the completions of the part; where there are none of it, those of other parts.

    Args:
        completions: Those of a file.
        template: The template that they answer.
        measure: Of their data set.
        dataset_key: Its key.
        checker: Name of the answer checker.
        limit: New tokens that a rationale may have at most, where the file tells.

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
    checked = [
        (item, check_completion(item, formats[item.sample_index], template, checker)) for item in scored
    ]
    verdicts = _by_question(checked)
    whole = None if measure.questions is None or not inside else len(measure.questions)
    return PartScore(
        part=measure.part if inside else OTHER,
        as_asked=measure.problem is None,
        expected=whole,
        answered=frozenset(index for index, group in verdicts.items() if group[0].gradable),
        samples=max(map(len, verdicts.values())),
        foreign=len(completions) - len(known),
        score=score_questions(verdicts.values()),
        lengths=completion_lengths(scored, limit),
        repeated=tuple(repeated_inference(list(verdicts.values()))),
        shown=tuple(shown(*pair) for pair in evenly(checked, MAX_SHOWN)),
        prompt_tokens=_tokens(scored, "prompt_tokens"),
        completion_tokens=_tokens(scored, "completion_tokens"),
        by_split=tuple(_by_split(known, measure, template, checker)),
    )


def _by_split(
    completions: Sequence[Completion], measure: Yardstick, template: str, checker: str
) -> Iterator[SplitScore]:
    """Scores on the test part of every split of which completions are there."""
    formats = measure.formats or {}
    for split, questions in measure.tests.items():
        verdicts = _by_question(
            (item, check_completion(item, formats[item.sample_index], template, checker))
            for item in completions
            if item.sample_index in questions
        )
        found = score_questions(verdicts.values())
        if found.n:
            n = sum(group[0].gradable for group in verdicts.values())
            yield SplitScore(split, n, n == len(questions), found.accuracy, found.stderr)


def _by_question(checked: Iterable[tuple[Completion, Verdict]]) -> dict[int, list[Verdict]]:
    verdicts: dict[int, list[Verdict]] = {}
    for completion, verdict in checked:
        verdicts.setdefault(completion.sample_index, []).append(verdict)
    return verdicts


def _tests(dataset: Dataset, data_dir: Path) -> dict[str, frozenset[int]]:
    tests = {}
    for key in split_keys(dataset, data_dir):
        with contextlib.suppress(FtcotError):  # a torn file is told of where its split is asked for
            tests[key] = frozenset(part_indices(dataset, data_dir, "test", key))
    return tests if len(tests) > 1 else {}


def _tokens(completions: Sequence[Completion], kind: str) -> int:
    counts = (completion.extra.get(kind) for completion in completions)
    return sum(count for count in counts if isinstance(count, int))


def _assumed_formats(completions: Sequence[Completion], dataset_key: str) -> dict[int, AnswerFormat]:
    """Answer formats by the name of an absent data set, or by what the answers look like."""
    samples = [Sample(item.sample_index, item.question, item.answer, dataset_key) for item in completions]
    answer_format = PUBLISHED_FORMATS.get(dataset_key) or infer_answer_format(samples)
    return dict.fromkeys((sample.sample_index for sample in samples), answer_format)
