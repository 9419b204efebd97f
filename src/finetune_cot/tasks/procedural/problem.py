"""What a procedural task is."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from finetune_cot.tasks.sample import AnswerFormat


@dataclass(frozen=True)
class Problem:
    """A question with the steps that lead to its answer."""

    question: str
    rationale: str
    """A line of text whose last sentence states the answer."""
    answer: str


@dataclass(frozen=True)
class ProceduralTask:
    """A kind of problem of which any number can be drawn."""

    key: str
    family: str
    """Tasks of a family practise related skills."""
    level: int
    """1 (easy), 2 or 3 (hard)."""
    answer_format: AnswerFormat
    generate: Callable[[Random], Problem]
    """Draws a problem; its only source of chance is the generator."""
