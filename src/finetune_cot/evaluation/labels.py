"""Rules for classifiers, which choose a label, or give a score, rather than write."""

from collections.abc import Sequence

from finetune_cot.evaluation.reading import Reading, Rules
from finetune_cot.tasks.sample import AnswerFormat


def _read_gold(answer: str, answer_format: AnswerFormat) -> str | None:
    return answer if answer_format.kind == "label" else None


def _read_completion(text: str, prefixes: Sequence[str], answer_format: AnswerFormat) -> Reading:
    return Reading((text,), text)


def _same_answer(candidate: str, gold: str, answer_format: AnswerFormat) -> bool:
    return candidate == gold


LABELS = Rules(_read_gold, _read_completion, _same_answer)
"""A label is right or wrong as a whole; a score is neither, see `evaluation.glue_metrics`."""
