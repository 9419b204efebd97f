"""The published rules of Fine-tune-CoT (Ho et al., 2023), kept to the letter so that its numbers come out.

They are crude: any capital letter of the choices counts, also within a word; ``3.0`` is not ``3`` unless the
data set compares numbers; the numbers of ``3,4`` are read as 34; and ``(yes)`` is no yes.
"""

import re
from collections.abc import Sequence

from finetune_cot.evaluation.reading import Reading, Rules, after_first, choose
from finetune_cot.tasks.sample import AnswerFormat

TOLERANCE = 1e-6
"""Largest difference of equal answers, where they are compared as numbers."""


def _candidates(text: str, answer_format: AnswerFormat) -> list[str]:
    match answer_format.kind:
        case "choice":
            return re.findall(f"[{re.escape(answer_format.choices)}]", text)
        case "number":
            return re.findall(r"-?\d+(?:\.\d+)?", text.replace(",", ""))
        case "yes_no":
            words = re.sub(r"[\"'.\s:,]", " ", text.lower()).split(" ")
            return [word for word in words if word in ("yes", "no")]
        case _:
            return [re.sub(r"[\"'.\s]", "", text)]


def _read_gold(answer: str, answer_format: AnswerFormat) -> str | None:
    """The answer, if it is a candidate through and through."""
    plain = answer.strip()
    match answer_format.kind:
        case "number":
            plain = plain.replace(",", "")
        case "yes_no":
            plain = plain.lower()
        case "letters":
            return _candidates(plain, answer_format)[0] or None
    return plain if _candidates(plain, answer_format) == [plain] else None


def _read_completion(text: str, prefixes: Sequence[str], answer_format: AnswerFormat) -> Reading:
    rest = after_first(text, prefixes)
    candidates = _candidates(text if rest is None else rest, answer_format)
    return choose(candidates, first=rest is not None or not prefixes)


def _same_answer(candidate: str, gold: str, answer_format: AnswerFormat) -> bool:
    if answer_format.compare_as_float:
        return abs(float(candidate) - float(gold)) <= TOLERANCE
    return candidate == gold


PUBLISHED = Rules(_read_gold, _read_completion, _same_answer)
"""Prefix found: the first candidate after it; not found: the last one; no prefix: the first one."""
