"""Counts and accuracy over many verdicts."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from finetune_cot.evaluation.checkers import Verdict


@dataclass(frozen=True)
class Score:
    """How many completions are right."""

    n: int
    """Completions that could be graded; all other counts but ``ungradable`` are among these."""
    correct: int
    accuracy: float
    """Share of right ones, 0 to 1; not a number where ``n`` is 0."""
    stderr: float
    """Standard error of the accuracy, sqrt(p (1 - p) / n); not a number where ``n`` is 0."""
    contains_answer: int
    """Completions of which some candidate, not only the chosen one, is the right answer."""
    correct_format: int
    """Completions with the words that lead to the answer in their template."""
    complete: int | None
    """Completions whose rationale was not cut off; None where no completion tells."""
    ungradable: int
    """Completions left out because their right answer could not be read."""


def score(verdicts: Iterable[Verdict]) -> Score:
    """Sum up verdicts; those that could not be graded are counted apart."""
    every = list(verdicts)
    graded = [verdict for verdict in every if verdict.gradable]
    n = len(graded)
    correct = sum(verdict.correct for verdict in graded)
    accuracy = correct / n if n else math.nan
    told = [verdict.complete for verdict in graded if verdict.complete is not None]
    return Score(
        n=n,
        correct=correct,
        accuracy=accuracy,
        stderr=math.sqrt(accuracy * (1 - accuracy) / n) if n else math.nan,
        contains_answer=sum(verdict.contains_answer for verdict in graded),
        correct_format=sum(verdict.correct_format for verdict in graded),
        complete=sum(told) if told else None,
        ungradable=len(every) - n,
    )
