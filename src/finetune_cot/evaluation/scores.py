"""Counts and accuracy over many verdicts."""

import math
from collections.abc import Iterable, Sequence
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
    """Standard error of the accuracy over questions; not a number where ``n`` is 0."""
    contains_answer: int
    """Completions of which some candidate, not only the chosen one, is the right answer."""
    correct_format: int
    """Completions with the words that lead to the answer in their template."""
    complete: int | None
    """Completions whose rationale was not cut off; None where no completion tells."""
    ungradable: int
    """Completions left out because their right answer could not be read."""


def score(verdicts: Iterable[Verdict]) -> Score:
    """Sum up verdicts of different questions; those that could not be graded are counted apart."""
    return score_questions([verdict] for verdict in verdicts)


def score_questions(questions: Iterable[Sequence[Verdict]]) -> Score:
    """Sum up verdicts by question; those that could not be graded are counted apart."""
    groups = [list(question) for question in questions]
    graded = [verdict for group in groups for verdict in group if verdict.gradable]
    n = len(graded)
    correct = sum(verdict.correct for verdict in graded)
    told = [verdict.complete for verdict in graded if verdict.complete is not None]
    return Score(
        n=n,
        correct=correct,
        accuracy=correct / n if n else math.nan,
        stderr=clustered_stderr(
            [verdict.correct for verdict in group if verdict.gradable] for group in groups
        ),
        contains_answer=sum(verdict.contains_answer for verdict in graded),
        correct_format=sum(verdict.correct_format for verdict in graded),
        complete=sum(told) if told else None,
        ungradable=sum(map(len, groups)) - n,
    )


def clustered_stderr(right: Iterable[Sequence[bool]]) -> float:
    """Standard error of the share of right completions, where those of one question go together.

    Each question's deviation from the share counts once; with one completion a question this is
    sqrt(p (1 - p) / n).

    Args:
        right: For each question, whether each of its completions is right.
    """
    questions = [list(group) for group in right]
    total = sum(map(len, questions))
    if total == 0:
        return math.nan
    share = sum(map(sum, questions)) / total
    return math.sqrt(math.fsum((sum(group) - share * len(group)) ** 2 for group in questions)) / total
