"""Sequences of numbers to be continued."""

from itertools import accumulate, pairwise
from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import comma_separated, listed
from finetune_cot.tasks.sample import AnswerFormat


def sequence_continuation(rng: Random) -> Problem:
    """The fifth number of a sequence with equal steps, growing steps, or a constant factor."""
    numbers, reason, step = rng.choice((_equal_steps, _equal_steps, _growing_steps, _constant_factor))(rng)
    shown = comma_separated(numbers[:4])
    question = rng.choice(
        (
            f"Which number comes next: {shown}?",
            f"Continue the sequence {shown} by one number.",
            f"The sequence {shown} follows a rule. What is its fifth number?",
        )
    )
    return Problem(
        question, f"{reason} The next number is {numbers[3]} {step} = {numbers[4]}.", str(numbers[4])
    )


def _equal_steps(rng: Random) -> tuple[list[int], str, str]:
    step, start = rng.randint(2, 20), rng.randint(1, 60)
    rising = [start + step * index for index in range(5)]
    if rng.random() < 0.5:
        return rising, f"Each number is {step} more than the one before.", f"+ {step}"
    return rising[::-1], f"Each number is {step} less than the one before.", f"- {step}"


def _growing_steps(rng: Random) -> tuple[list[int], str, str]:
    first, growth = rng.randint(1, 10), rng.randint(1, 5)
    numbers = list(accumulate((first + growth * index for index in range(4)), initial=rng.randint(1, 40)))
    steps = [after - before for before, after in pairwise(numbers)]
    reason = (
        f"The steps are {listed(steps[:3])}, each {growth} more than the one before, "
        f"so the next step is {steps[3]}."
    )
    return numbers, reason, f"+ {steps[3]}"


def _constant_factor(rng: Random) -> tuple[list[int], str, str]:
    factor, start = rng.randint(2, 4), rng.randint(1, 30)
    numbers = [start * factor**index for index in range(5)]
    return numbers, f"Each number is {factor} times the one before.", f"* {factor}"


TASKS = (
    ProceduralTask("sequence_continuation", "sequences", 2, AnswerFormat("number"), sequence_continuation),
)
