"""True and false, even and odd, and what follows from an order."""

from itertools import pairwise
from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import PLAYERS, comma_separated
from finetune_cot.tasks.sample import AnswerFormat

EVEN_ODD = ("even", "odd")
COMPARISONS = (
    ("older", "oldest", "younger", "youngest"),
    ("taller", "tallest", "shorter", "shortest"),
    ("faster", "fastest", "slower", "slowest"),
    ("richer", "richest", "poorer", "poorest"),
    ("stronger", "strongest", "weaker", "weakest"),
)


def parity(rng: Random) -> Problem:
    """Whether a sum or a product of two numbers is even or odd."""
    a, b = rng.randint(2, 999), rng.randint(2, 999)
    asked = rng.randrange(2)
    sign, operation, value = rng.choice((("+", "sum", a + b), ("*", "product", a * b)))
    question = rng.choice(
        (
            f"Is {a} {sign} {b} an {EVEN_ODD[asked]} number?",
            f"Is the {operation} of {a} and {b} {EVEN_ODD[asked]}?",
            f"Someone computes {a} {sign} {b}. Is the result {EVEN_ODD[asked]}?",
        )
    )
    kinds = [EVEN_ODD[number % 2] for number in (a, b)]
    steps = [
        f"{number} ends in {number % 10} and is {kind}." for number, kind in zip((a, b), kinds, strict=True)
    ]
    joint = "plus" if sign == "+" else "times"
    result = EVEN_ODD[value % 2]
    answer = "yes" if value % 2 == asked else "no"
    rationale = f"{' '.join(steps)} {kinds[0].capitalize()} {joint} {kinds[1]} is {result}, so {answer}."
    return Problem(question, rationale, answer)


def boolean_expression(rng: Random) -> Problem:
    """Whether an expression of and, or and not over four truth values is true."""
    steps: list[str] = []
    expression, value = _expression(rng, 4, steps)
    question = rng.choice(
        (
            f"Is this expression true: {expression}?",
            f"Evaluate {expression}. Does it come out true?",
            f'Is "{expression}" a true statement?',
        )
    )
    answer = "yes" if value else "no"
    return Problem(question, f"{' '.join(steps)} The whole is {value}, so {answer}.", answer)


def _expression(rng: Random, leaves: int, steps: list[str]) -> tuple[str, bool]:
    """An expression and its value; adds the steps of its evaluation."""
    if leaves == 1:
        value = rng.random() < 0.5
        if rng.random() < 0.6:
            return str(value), value
        steps.append(f"not {value} is {not value}.")
        return f"not {value}", not value
    left_leaves = rng.randint(1, leaves - 1)
    left, left_value = _expression(rng, left_leaves, steps)
    right, right_value = _expression(rng, leaves - left_leaves, steps)
    joint = rng.choice(("and", "or"))
    value = (left_value and right_value) if joint == "and" else (left_value or right_value)
    steps.append(f"{left_value} {joint} {right_value} is {value}.")
    return f"{_bracketed(left)} {joint} {_bracketed(right)}", value


def _bracketed(expression: str) -> str:
    return f"({expression})" if " and " in expression or " or " in expression else expression


def transitive_order(rng: Random) -> Problem:
    """Who is first or last of four people who are compared two by two."""
    people = rng.sample(PLAYERS, 4)
    more, most, less, least = rng.choice(COMPARISONS)
    facts = [
        f"{high} is {more} than {low}." if rng.random() < 0.5 else f"{low} is {less} than {high}."
        for high, low in pairwise(people)
    ]
    first = rng.random() < 0.5
    person, superlative = (people[0], most) if first else (people[-1], least)
    options = rng.sample(people, 4)
    letter = "ABCD"[options.index(person)]
    choices = comma_separated([f"({label}) {name}" for label, name in zip("ABCD", options, strict=True)])
    asking = rng.choice((f"Who is the {superlative}?", f"Who of them is the {superlative}?"))
    chain = rng.choice(
        (
            f"From the {most} to the {least}, the order is {comma_separated(people)}.",
            f"{', '.join(f'{high} is {more} than {low}' for high, low in pairwise(people))}.",
        )
    )
    return Problem(
        f"{' '.join(rng.sample(facts, 3))} {asking} Options: {choices}.",
        f"{chain} So {person} is the {superlative}, which is ({letter}).",
        letter,
    )


TASKS = (
    ProceduralTask("parity", "logic", 1, AnswerFormat("yes_no"), parity),
    ProceduralTask("boolean_expression", "logic", 2, AnswerFormat("yes_no"), boolean_expression),
    ProceduralTask("transitive_order", "logic", 3, AnswerFormat("choice", choices="ABCD"), transitive_order),
)
