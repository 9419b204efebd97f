"""Whether completions are right, by the published rules or others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import UsageError
from finetune_cot.evaluation.labels import LABELS
from finetune_cot.evaluation.mathematics import math_rules
from finetune_cot.evaluation.published import PUBLISHED
from finetune_cot.evaluation.reading import Rules, after_first
from finetune_cot.evaluation.robust import ROBUST
from finetune_cot.prompts.templates import answer_prefixes
from finetune_cot.tasks.sample import AnswerFormat


@dataclass(frozen=True)
class Verdict:
    """What a checker says of a completion."""

    correct: bool
    """Whether the prediction is the right answer; never so where the right answer cannot be read."""
    contains_answer: bool
    """Whether the right answer is among the candidates: those after the prefix, or all without it."""
    correct_format: bool
    """Whether the completion has its template's prefix; always so for a template without one."""
    complete: bool | None
    """Whether the text with the rationale ended by itself; None where that was not recorded."""
    gradable: bool
    """False where the right answer itself cannot be read: then a completion is neither right nor wrong."""
    prediction: str | None
    """The answer that was found; None where there was none."""


CHECKERS: Mapping[str, Callable[[], Rules]] = MappingProxyType(
    {"published": lambda: PUBLISHED, "robust": lambda: ROBUST, "math-verify": math_rules}
)
"""The rules of each checker; got by a call, as some need a package that may not be there."""


def check_completion(
    completion: Completion, answer_format: AnswerFormat, template: str, checker: str = "published"
) -> Verdict:
    """Check a completion against the right answer in its record.

    Args:
        completion: The completion; in two steps, what was written in the second is checked.
        answer_format: What the answers of its task look like.
        template: The template that it answers.
        checker: ``published``, ``robust`` or ``math-verify``.

    Raises:
        UsageError: there is no such checker or template, or the checker's package is not installed.
    """
    rules = LABELS if answer_format.kind in ("label", "score") else _rules(checker)
    prefixes = answer_prefixes(template)
    gold = rules.read_gold(completion.answer, answer_format)
    reading = rules.read_completion(completion.completion, prefixes, answer_format)

    def is_right(candidate: str | None) -> bool:
        return (
            gold is not None and candidate is not None and rules.same_answer(candidate, gold, answer_format)
        )

    return Verdict(
        correct=is_right(reading.prediction),
        contains_answer=any(map(is_right, reading.candidates)),
        correct_format=not prefixes or after_first(completion.completion, prefixes) is not None,
        complete=_is_complete(completion),
        gradable=gold is not None,
        prediction=reading.prediction,
    )


def _rules(checker: str) -> Rules:
    if checker not in CHECKERS:
        raise UsageError(f"there is no checker {checker!r}", remedy=f"use {', '.join(CHECKERS)}")
    return CHECKERS[checker]()


def _is_complete(completion: Completion) -> bool | None:
    if completion.finish_reason == "content_filter":  # an answer may be cut off where it is long enough
        return False
    two_steps = completion.reasoning_completion is not None
    reason = completion.reasoning_finish_reason if two_steps else completion.finish_reason
    return None if reason is None else reason == "stop"
