"""What the answers of a data set look like: known for the published ones, stated by a file, or inferred."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, get_args

from finetune_cot.errors import DataError
from finetune_cot.tasks.sample import AnswerFormat, AnswerKind, Sample

_NUMBER = AnswerFormat("number")
_DECIMAL = AnswerFormat("number", compare_as_float=True)
_YES_NO = AnswerFormat("yes_no")

PUBLISHED_FORMATS: Mapping[str, AnswerFormat] = MappingProxyType(
    {
        "single_eq": _DECIMAL,
        "addsub": _DECIMAL,
        "multiarith": _NUMBER,
        "svamp": _DECIMAL,
        "gsm8k": _NUMBER,
        "aqua": AnswerFormat("choice", choices="ABCDE"),
        "commonsense_qa": AnswerFormat("choice", choices="ABCDE"),
        "strategy_qa": _YES_NO,
        "date_understanding": AnswerFormat("choice", choices="ABCDEF"),
        "tracking_shuffled_objects": AnswerFormat("choice", choices="ABC"),
        "coin_flip": _YES_NO,
        "last_letter_concatenation": AnswerFormat("letters"),
    }
)
"""Answer formats of the 12 published data sets, by key, as their published evaluation has them."""


def infer_answer_format(samples: Iterable[Sample]) -> AnswerFormat:
    """The narrowest format that all answers have.

    Numbers (compared as numbers); yes and no; single capital letters, which are choices from A to the last
    letter that an answer or an ``(A)`` of a question names; else whole texts.
    """
    samples = list(samples)
    answers = {sample.answer.strip() for sample in samples}
    if all(re.fullmatch(r"-?[\d,]*\d(\.\d+)?", answer) for answer in answers):
        return _DECIMAL
    if {answer.lower() for answer in answers} <= {"yes", "no"}:
        return _YES_NO
    if all(re.fullmatch("[A-Z]", answer) for answer in answers):
        offered = {letter for sample in samples for letter in re.findall(r"\(([A-Z])\)", sample.question)}
        last = max(answers | offered)
        return AnswerFormat("choice", choices="".join(map(chr, range(ord("A"), ord(last) + 1))))
    return AnswerFormat("letters")


def answer_format_to_json(answer_format: AnswerFormat) -> dict[str, Any]:
    """An answer format as a file's metadata states it."""
    fields = {"choices": answer_format.choices, "compare_as_float": answer_format.compare_as_float}
    return {"kind": answer_format.kind} | {name: value for name, value in fields.items() if value}


def answer_format_from_json(value: Any, where: object) -> AnswerFormat:
    """An answer format that metadata state: ``{"kind": "choice", "choices": "ABCD"}``, or the kind alone.

    Raises:
        DataError: it is of another form.
    """
    fields = {"kind": value} if isinstance(value, str) else value
    known = {"kind": str, "choices": str, "compare_as_float": bool}
    if (
        not isinstance(fields, dict)
        or fields.get("kind") not in get_args(AnswerKind)
        or any(not isinstance(field, known.get(name, ())) for name, field in fields.items())
        or (fields["kind"] == "choice") != bool(fields.get("choices"))
    ):
        raise DataError(
            f"answer_format is {value!r}",
            where=where,
            remedy=f'its "kind" is one of {", ".join(get_args(AnswerKind))}; choice needs "choices": "ABCD"',
        )
    return AnswerFormat(**fields)
