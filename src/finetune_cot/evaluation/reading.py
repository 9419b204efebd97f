"""What a checker is made of, and how it finds the place of an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finetune_cot.tasks.sample import AnswerFormat


@dataclass(frozen=True)
class Reading:
    """What could be an answer in a completion."""

    candidates: tuple[str, ...]
    """In order of appearance; only those after the prefix, where it is found."""
    prediction: str | None
    """The candidate that counts; None where there is none."""


@dataclass(frozen=True)
class Rules:
    """A checker, as three functions that all take the format of the answers last."""

    read_gold: Callable[[str, AnswerFormat], str | None]
    """The right answer in the form that is compared; None where it cannot be read."""
    read_completion: Callable[[str, Sequence[str], AnswerFormat], Reading]
    """The candidates of a completion, given the prefixes of its template."""
    same_answer: Callable[[str, str, AnswerFormat], bool]
    """Whether a candidate is the right answer that ``read_gold`` gave."""


def after_first(text: str, prefixes: Sequence[str]) -> str | None:
    """What follows the earliest of the prefixes; None where the text has none of them."""
    found = [(text.find(prefix), len(prefix)) for prefix in prefixes if prefix in text]
    return text[sum(min(found)) :] if found else None


def choose(candidates: Sequence[str], *, first: bool) -> Reading:
    """A reading whose prediction is the first or the last of the candidates."""
    return Reading(tuple(candidates), candidates[0 if first else -1] if candidates else None)
