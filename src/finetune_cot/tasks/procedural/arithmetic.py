"""Sums, differences and products, worked out digit by digit or part by part."""

from collections.abc import Callable
from itertools import accumulate, pairwise
from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import listed
from finetune_cot.tasks.sample import AnswerFormat

PLACES = ("Ones", "Tens", "Hundreds", "Thousands", "Ten thousands")


def small_addition(rng: Random) -> Problem:
    """Two numbers up to 50, or three up to 20."""
    count, largest = rng.choice(((2, 50), (3, 20)))
    numbers = [rng.randint(1, largest) for _ in range(count)]
    totals = list(accumulate(numbers))
    question = rng.choice(
        (
            f"What is {' + '.join(map(str, numbers))}?",
            f"Work out {' + '.join(map(str, numbers))}.",
            f"Add up {listed(numbers)}.",
            f"What do {listed(numbers)} make together?",
        )
    )
    steps = [
        f"{before} + {number} = {after}"
        for number, (before, after) in zip(numbers[1:], pairwise(totals), strict=True)
    ]
    rationale = rng.choice(
        (f"{' and '.join(steps)}.", f"{'. Then '.join(steps)}. Together they make {totals[-1]}.")
    )
    return Problem(question, rationale, str(totals[-1]))


def digit_addition(rng: Random) -> Problem:
    """Two numbers of three or four digits, added column by column with carries."""
    a, b = _long_number(rng), _long_number(rng)
    columns, total = _add_columns(a, b, lambda x, y, carry: x + y + carry)
    return Problem(_addition_question(rng, a, b), f"{columns} {_closing(rng, 'sum', total)}", str(total))


def noisy_digit_addition(rng: Random) -> Problem:
    """The questions of digit addition with random column sums: every answer is wrong.

    A source of noise, on which a method of data selection can be tried.
    """
    a, b = _long_number(rng), _long_number(rng)
    question = _addition_question(rng, a, b)
    total = a + b
    while total == a + b:
        columns, total = _add_columns(a, b, lambda x, y, carry: rng.randint(0, 19))
    return Problem(question, f"{columns} {_closing(rng, 'sum', total)}", str(total))


def digit_subtraction(rng: Random) -> Problem:
    """The difference of two numbers of three or four digits, column by column with borrowing."""
    b, a = sorted((_long_number(rng), _long_number(rng)))
    question = rng.choice(
        (
            f"Subtract {b} from {a} digit by digit.",
            f"Use column subtraction to find {a} - {b}.",
            f"What is {a} - {b}? Go from the ones to the higher digits.",
        )
    )
    steps, borrowed = [], 0
    for place, x, y in _columns(a, b):
        lent = f"{x} - 1 = {x - 1} after lending; " if borrowed else ""
        x -= borrowed
        borrowed = int(x < y)
        need = f"{x} is less than {y}, so borrow 10; " if borrowed else ""
        steps.append(f"{place}: {lent}{need}{x + 10 * borrowed} - {y} = {x + 10 * borrowed - y}.")
    return Problem(question, f"{' '.join(steps)} {_closing(rng, 'difference', a - b)}", str(a - b))


def multiplication_by_steps(rng: Random) -> Problem:
    """The product of two numbers of two digits, the second split into tens and ones."""
    a, b = rng.randint(11, 99), 10 * rng.randint(1, 9) + rng.randint(1, 9)
    tens, ones = b - b % 10, b % 10
    question = rng.choice(
        (
            f"What is {a} * {b}?",
            f"Multiply {a} by {b}.",
            f"Find the product of {a} and {b} in steps.",
        )
    )
    parts = rng.choice(
        (
            f"Split {b} into {tens} and {ones}.",
            f"{b} is {tens} + {ones}, so multiply {a} by each part.",
        )
    )
    rationale = (
        f"{parts} {a} * {tens} = {a * tens}. {a} * {ones} = {a * ones}. "
        f"The parts add up to {a * tens} + {a * ones} = {a * b}."
    )
    return Problem(question, rationale, str(a * b))


def _long_number(rng: Random) -> int:
    return rng.randint(*rng.choice(((100, 999), (1000, 9999))))


def _addition_question(rng: Random, a: int, b: int) -> str:
    return rng.choice(
        (
            f"Add {a} and {b} digit by digit.",
            f"Use column addition to find {a} + {b}.",
            f"What is {a} + {b}? Go from the ones to the higher digits.",
        )
    )


def _columns(a: int, b: int) -> list[tuple[str, int, int]]:
    """Name of the place and the two digits of each column, from the ones on."""
    width = max(len(str(a)), len(str(b)))
    digits = zip(reversed(f"{a:0{width}}"), reversed(f"{b:0{width}}"), strict=True)
    return [(place, int(x), int(y)) for place, (x, y) in zip(PLACES, digits, strict=False)]


def _add_columns(a: int, b: int, add: Callable[[int, int, int], int]) -> tuple[str, int]:
    """The steps of an addition and the number that its digits make."""
    steps, total, carry = [], 0, 0
    columns = _columns(a, b)
    for power, (place, x, y) in enumerate(columns):
        column = add(x, y, carry)
        carried = f" + {carry}" if carry else ""
        carry, digit = divmod(column, 10)
        steps.append(
            f"{place}: {x} + {y}{carried} = {column}, write {digit}{' and carry 1' if carry else ''}."
        )
        total += digit * 10**power
    if carry:
        steps.append(f"{PLACES[len(columns)]}: write 1.")
        total += 10 ** len(columns)
    return " ".join(steps), total


def _closing(rng: Random, what: str, result: int) -> str:
    return rng.choice((f"So the {what} is {result}.", f"Put together, the digits give {result}."))


_NUMBER = AnswerFormat("number")

TASKS = (
    ProceduralTask("small_addition", "arithmetic", 1, _NUMBER, small_addition),
    ProceduralTask("digit_addition", "arithmetic", 2, _NUMBER, digit_addition),
    ProceduralTask("noisy_digit_addition", "arithmetic", 2, _NUMBER, noisy_digit_addition),
    ProceduralTask("digit_subtraction", "arithmetic", 2, _NUMBER, digit_subtraction),
    ProceduralTask("multiplication_by_steps", "arithmetic", 3, _NUMBER, multiplication_by_steps),
)
