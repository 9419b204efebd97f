"""Which completions become training samples, and why the others do not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_cot.artifacts.completions import Completion, find_completions, read_completions
from finetune_cot.artifacts.finetune_data import FinetuneRow
from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.keys import model_slug
from finetune_cot.config.build_finetune_data import BuildFinetuneDataConfig
from finetune_cot.errors import ArtifactError
from finetune_cot.evaluation.checkers import Verdict, check_completion
from finetune_cot.prompts.templates import answer_prefixes, is_two_step, template_of
from finetune_cot.tasks.sample import Dataset


@dataclass(frozen=True)
class Choice:
    """Which completions are wanted, and what is asked of them; by default none at all."""

    completion_path: Path | None = None
    """None for training data of answers only."""
    completion_key: str | None = None
    num_completions: int | None = None
    """The first so many of each question; None for all."""
    only_correct: bool = True
    only_complete: bool = True
    deduplicate: bool = True
    checker: str = "published"

    @classmethod
    def of(
        cls, config: BuildFinetuneDataConfig, completion_key: str, num_completions: int | None
    ) -> "Choice":
        """What a config asks for, once its preset is known."""
        completions = CompletionId(model_slug(config.model_key), completion_key, config.dataset_key)
        return cls(
            find_completions(completions, config.saved_dir) or completions.path(config.saved_dir),
            completion_key,
            num_completions,
            config.only_correct,
            config.only_complete,
            config.deduplicate,
            config.checker,
        )


@dataclass(frozen=True)
class LeftOut:
    """How many completions were left out; each is counted once, under the first reason that holds."""

    outside_split: int = 0
    beyond_num_completions: int = 0
    ungradable: int = 0
    rejected_incorrect: int = 0
    rejected_incomplete: int = 0
    without_rationale: int = 0
    duplicates: int = 0


@dataclass(frozen=True)
class Rows:
    """Training samples, by sample and completion index, and the count of everything else."""

    kept: tuple[FinetuneRow, ...]
    considered: int
    left_out: LeftOut = LeftOut()
    unknown_completeness: int = 0
    other_wording: int = 0
    questions_without_completion: int = 0
    rationales_per_question: int | None = None
    """Completions of each question that were wanted or, where all were, that there are at most."""

    @property
    def questions(self) -> int:
        """Different questions among the training samples."""
        return len({row.sample_index for row in self.kept})


def answer_rows(dataset: Dataset, indices: Sequence[int]) -> Rows:
    """Question and answer of every sample of those indices; needs no completions."""
    kept = tuple(
        FinetuneRow(sample.sample_index, 0, sample.task, sample.question, None, sample.answer)
        for sample in dataset.select(sorted(indices))
    )
    considered = len(dataset.samples)
    return Rows(kept, considered, LeftOut(outside_split=considered - len(kept)))


def rationale_rows(choice: Choice, dataset: Dataset, indices: Sequence[int]) -> Rows:
    """The wanted completions of those samples that pass every filter.

    Raises:
        ArtifactError: the completions are missing or torn, or no question has as many as are wanted.
        UsageError: the completion key is unknown.
    """
    assert choice.completion_path is not None
    assert choice.completion_key is not None
    template = template_of(choice.completion_key)
    completions = read_completions(choice.completion_path).completions
    wanted = set(indices)
    most = _most_completions(completions, wanted, choice)
    reasons: Counter[str] = Counter()
    seen: set[tuple[int, str | None]] = set()
    kept: list[FinetuneRow] = []
    unknown = reworded = 0
    for completion in completions:
        if reason := _not_asked_for(completion, wanted, choice):
            reasons[reason] += 1
            continue
        sample = dataset.sample(completion.sample_index)
        verdict = check_completion(completion, dataset.answer_formats[sample.task], template, choice.checker)
        rationale = rationale_of(completion, template)
        if reason := _refused(verdict, rationale, template, choice):
            reasons[reason] += 1
            continue
        place = (completion.sample_index, rationale and " ".join(rationale.split()))
        if choice.deduplicate and place in seen:
            reasons["duplicates"] += 1
            continue
        seen.add(place)
        unknown += verdict.complete is None
        reworded += completion.question != sample.question
        kept.append(
            FinetuneRow(*completion.key, sample.task, completion.question, rationale, completion.answer)
        )
    return Rows(
        tuple(kept),
        len(completions),
        LeftOut(**reasons),
        unknown_completeness=unknown,
        other_wording=reworded,
        questions_without_completion=len(wanted - {item.sample_index for item in completions}),
        rationales_per_question=choice.num_completions or most,
    )


def rationale_of(completion: Completion, template: str) -> str | None:
    """The text that leads to the answer, without it; None where the template asks for none.

    In two steps that is the first step's text, in one step what stands before the answer's prefix.
    """
    if "cot" not in template:
        return None
    if is_two_step(template):
        return (completion.reasoning_completion or "").strip()
    text = completion.completion
    places = [text.find(prefix) for prefix in answer_prefixes(template)]
    return text[: min((place for place in places if place >= 0), default=len(text))].strip()


def _not_asked_for(completion: Completion, wanted: set[int], choice: Choice) -> str | None:
    if completion.sample_index not in wanted:
        return "outside_split"
    if choice.num_completions is not None and completion.completion_index >= choice.num_completions:
        return "beyond_num_completions"
    return None


def _refused(verdict: Verdict, rationale: str | None, template: str, choice: Choice) -> str | None:
    if choice.only_correct and not verdict.gradable:
        return "ungradable"
    if choice.only_correct and not verdict.correct:
        return "rejected_incorrect"
    if choice.only_complete and verdict.complete is False:
        return "rejected_incomplete"
    if "cot" in template and not rationale:
        return "without_rationale"
    return None


def _most_completions(completions: Sequence[Completion], wanted: set[int], choice: Choice) -> int:
    """Completions of the question that has most; a preset of 64 must not quietly become one of 8."""
    counts = Counter(item.sample_index for item in completions if item.sample_index in wanted)
    most = max(counts.values(), default=0)
    if choice.num_completions is not None and 0 < most < choice.num_completions:
        raise ArtifactError(
            f"holds at most {most} completions of a question, not {choice.num_completions}",
            where=choice.completion_path,
            remedy=f"`ftcot teach --num-completions {choice.num_completions}` adds the missing ones",
        )
    return most
