"""Word problems of one, two and three steps."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.stories import ONE_STEP, THREE_STEPS, TWO_STEPS, Story
from finetune_cot.tasks.procedural.words import ITEMS, NAMES
from finetune_cot.tasks.sample import AnswerFormat


def word_problem(rng: Random, stories: Sequence[Story], largest: int) -> Problem:
    """One of the stories, with names, things, and numbers up to the largest one."""
    story = rng.choice(stories)
    numbers, totals = _numbers(rng, story.operators, largest)
    name, other = rng.sample(NAMES, 2)
    told = {"name": name, "other": other, "items": rng.choice(ITEMS).many}
    told |= {letter: str(number) for letter, number in zip("abcd", numbers, strict=False)}
    calculations = [
        f"{before} {operator} {number} = {after}"
        for operator, number, (before, after) in zip(
            story.operators, numbers[1:], pairwise(totals), strict=True
        )
    ]
    steps = " ".join(story.steps).format(*calculations, **told)
    closing = rng.choice(("", f" So the result is {totals[-1]}."))
    return Problem(story.text.format(**told), steps + closing, str(totals[-1]))


def _numbers(rng: Random, operators: str, largest: int) -> tuple[list[int], list[int]]:
    """Numbers for the operators and the totals on the way; none below 2, so that all nouns are plural."""
    while True:
        first = rng.randint(2, 12) if operators[0] == "*" else rng.randint(largest // 3, largest)
        numbers, totals = [first], [first]
        for operator in operators:
            fitting = _fitting(operator, totals[-1], largest)
            if not fitting:
                break
            numbers.append(rng.choice(fitting))
            totals.append(_apply(operator, totals[-1], numbers[-1]))
        else:
            return numbers, totals


def _fitting(operator: str, total: int, largest: int) -> Sequence[int]:
    """The numbers that the operator takes, with the total, to a whole number of at least 2."""
    match operator:
        case "+":
            return range(2, largest + 1)
        case "-":
            return range(2, min(largest, total - 2) + 1)
        case "*":
            return range(2, 10)
        case _:
            return [number for number in range(2, 10) if total % number == 0 and total > number]


def _apply(operator: str, total: int, number: int) -> int:
    return {"+": total + number, "-": total - number, "*": total * number, "/": total // number}[operator]


_NUMBER = AnswerFormat("number")

TASKS = (
    ProceduralTask(
        "one_step_word_problem",
        "word_problems",
        1,
        _NUMBER,
        partial(word_problem, stories=ONE_STEP, largest=20),
    ),
    ProceduralTask(
        "two_step_word_problem",
        "word_problems",
        2,
        _NUMBER,
        partial(word_problem, stories=TWO_STEPS, largest=40),
    ),
    ProceduralTask(
        "three_step_word_problem",
        "word_problems",
        3,
        _NUMBER,
        partial(word_problem, stories=THREE_STEPS, largest=60),
    ),
)
