"""Open mathematics, compared by the optional package math-verify: 6/8 is 3/4, and x + 1 is 1 + x."""

import re
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from finetune_cot.errors import UsageError
from finetune_cot.evaluation.reading import Reading, Rules
from finetune_cot.evaluation.robust import ROBUST
from finetune_cot.tasks.sample import AnswerFormat

_SECONDS = 5
"""Time to parse or compare one expression."""

_TEXT = AnswerFormat("letters")


def math_rules() -> Rules:
    """Numbers and texts with mathematics by math-verify; choices, yes or no, and other texts as in robust.

    Raises:
        UsageError: the package is not installed.
    """
    try:
        import math_verify
    except ImportError:
        raise UsageError(
            "the checker math-verify is not installed",
            where="--checker",
            remedy="run `pip install 'finetune-cot[math]'`",
        ) from None
    return Rules(
        partial(_read_gold, math_verify),
        _read_completion,
        partial(_same_answer, math_verify),
    )


def _read_gold(package: Any, answer: str, answer_format: AnswerFormat) -> str | None:
    if not _is_mathematics(answer, answer_format):
        return ROBUST.read_gold(answer, answer_format)
    return answer.strip() if _truth(package, answer, answer_format) else None


def _read_completion(text: str, prefixes: Sequence[str], answer_format: AnswerFormat) -> Reading:
    """Whole phrases where mathematics may be meant, as its parser finds the expression within them."""
    as_text = answer_format.kind in ("number", "letters")
    return ROBUST.read_completion(text, prefixes, _TEXT if as_text else answer_format)


def _same_answer(package: Any, candidate: str, gold: str, answer_format: AnswerFormat) -> bool:
    if not _is_mathematics(gold, answer_format):
        return ROBUST.same_answer(candidate, gold, answer_format)
    truth = _truth(package, gold, answer_format)
    seconds = _seconds()
    return any(
        package.verify(truth, _parse(package, form), timeout_seconds=seconds)
        for form in dict.fromkeys((_as_formula(candidate), candidate))
    )


def _is_mathematics(answer: str, answer_format: AnswerFormat) -> bool:
    """Numbers are; of texts those with a sign of mathematics, which a name, a list or a date has not."""
    if answer_format.kind == "letters":
        return re.search(r"[\\^=+*/()\[\]]", answer) is not None
    return answer_format.kind == "number"


def _truth(package: Any, gold: str, answer_format: AnswerFormat) -> list[Any]:
    """The right answer as expressions; none where it is not mathematics, or no number where one is due."""
    for form in (_as_formula(gold), gold):
        parsed = _parse(package, form)
        # Text that could not be parsed is given back as a string alone.
        expressions = [item for item in parsed if not isinstance(item, str)]
        if answer_format.kind == "number":
            expressions = [item for item in expressions if getattr(item, "is_number", False)]
        if expressions:
            return parsed
    return []


def _as_formula(text: str) -> str:
    text = text.strip()
    return text if "$" in text or "\\boxed" in text else f"${text}$"


def _parse(package: Any, text: str) -> list[Any]:
    parsed: list[Any] = package.parse(text, parsing_timeout=_seconds())
    return parsed


def _seconds() -> int | None:
    """Its time limit works by a signal, which only the main thread can be sent."""
    return _SECONDS if threading.current_thread() is threading.main_thread() else None
