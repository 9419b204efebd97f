"""Rows of the published data sets, as their authors give them out, become questions with answers.

Choices are appended as `` Answer choices: (A) x, (B) y.``; the answer is then the letter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Converted:
    """A question with its answer, and its rationale where its authors wrote one."""

    question: str
    answer: str
    rationale: str | None = None


Record = Mapping[str, Any]


def from_gsm8k(row: Record) -> Converted:
    """``question``, and ``answer`` with the working before ``####``."""
    rationale, answer = split_worked_answer(row["answer"])
    return Converted(row["question"].strip(), answer, rationale)


def from_aqua(row: Record) -> Converted:
    """``question``, ``options`` such as ``A)7``, ``rationale`` and ``correct``."""
    choices = [option.partition(")")[2] for option in row["options"]]
    return Converted(_with_choices(row["question"], choices), row["correct"], row["rationale"].strip())


def from_commonsense_qa(row: Record) -> Converted:
    """``question``, ``choices`` with ``text``, and ``answerKey``."""
    return Converted(_with_choices(row["question"], row["choices"]["text"]), row["answerKey"])


def from_equation_problem(row: Record) -> Converted:
    """``sQuestion`` and ``lSolutions`` of AddSub and SingleEq; the answer as it is written there."""
    return Converted(row["sQuestion"].strip(), str(row["lSolutions"][0]))


def from_multiarith(row: Record) -> Converted:
    """``sQuestion`` and ``lSolutions``; answers are whole numbers."""
    return Converted(row["sQuestion"].strip(), str(int(row["lSolutions"][0])))


def from_svamp(row: Record) -> Converted:
    """``Body``, ``Question`` and ``Answer``."""
    return Converted(f"{row['Body'].strip()} {row['Question'].strip()}", str(row["Answer"]))


def from_strategy_qa(row: Record) -> Converted:
    """``input``, ``target_scores``, and ``target``: the answer with the facts that lead to it."""
    answer = _right(row["target_scores"])
    return Converted(row["input"].strip(), answer, row["target"].removeprefix(f"{answer}.").strip())


def from_bigbench_choice(row: Record, order: Sequence[int] | None = None) -> Converted:
    """``input`` and ``target_scores`` by choice.

    Args:
        row: The row.
        order: New place of each choice; by default they keep theirs.
    """
    scores = row["target_scores"]
    places = order if order is not None else range(len(scores))
    choices = {place: choice.removesuffix(".") for place, choice in zip(places, scores, strict=True)}
    question = f"{row['input'].strip()}\nWhich choice is true?"
    right = places[list(scores).index(_right(scores))]
    return Converted(_with_choices(question, [choices[place] for place in sorted(places)]), _letter(right))


def from_question_and_answer(row: Record) -> Converted:
    """``question`` and ``answer``, as they are."""
    return Converted(row["question"], row["answer"])


def split_worked_answer(text: str) -> tuple[str | None, str]:
    """Rationale and answer of ``<working> #### <answer>``; without the mark, None and the whole text."""
    working, mark, answer = text.rpartition("####")
    return (working.strip() or None, answer.strip()) if mark else (None, text)


def _with_choices(question: str, choices: Sequence[str]) -> str:
    listed = ", ".join(f"({_letter(place)}) {choice.strip()}" for place, choice in enumerate(choices))
    return f"{question.strip()} Answer choices: {listed}."


def _right(scores: Mapping[str, float]) -> str:
    """The choice with the highest score."""
    return max(scores, key=lambda choice: scores[choice])


def _letter(place: int) -> str:
    return chr(ord("A") + place)
