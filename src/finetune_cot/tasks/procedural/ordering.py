"""Sorting and comparing numbers and words."""

from itertools import groupby
from operator import itemgetter
from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import WORDS, Noun, comma_separated, listed
from finetune_cot.tasks.sample import AnswerFormat

_DIGIT = Noun("digit", "digits")


def sort_numbers(rng: Random) -> Problem:
    """Four to six different numbers below 100, in rising or falling order."""
    numbers = rng.sample(range(1, 100), rng.randint(4, 6))
    falling = rng.random() < 0.5
    order = "from largest to smallest" if falling else "from smallest to largest"
    question = rng.choice(
        (
            f"Put {listed(numbers)} in order {order}.",
            f"Arrange these numbers {order}: {comma_separated(numbers)}.",
            f"Sort {comma_separated(numbers)} {order}.",
        )
    )
    ordered = sorted(numbers, reverse=falling)
    answer = comma_separated(ordered)
    extreme = "largest" if falling else "smallest"
    steps = rng.choice(
        (
            f"The {extreme} number is {ordered[0]}. After it come {listed(ordered[1:])}.",
            f"Taking the {extreme} that is left each time gives {', then '.join(map(str, ordered))}.",
        )
    )
    return Problem(question, f"{steps} In order: {answer}.", answer)


def sort_words(rng: Random) -> Problem:
    """Four or five words in alphabetical order."""
    words = rng.sample(WORDS, rng.choice((4, 5)))
    question = rng.choice(
        (
            f"Put these words in alphabetical order: {comma_separated(words)}.",
            f"In which order does a dictionary list {listed(words)}?",
            f"Sort {listed(words)} from A to Z.",
        )
    )
    ordered = sorted(words)
    groups = [
        f"{initial} ({comma_separated(list(group))})" for initial, group in groupby(ordered, itemgetter(0))
    ]
    answer = comma_separated(ordered)
    opening = rng.choice(("By first letter", "Grouped by the first letter"))
    return Problem(question, f"{opening}: {comma_separated(groups)}. In order: {answer}.", answer)


def list_maximum(rng: Random) -> Problem:
    """The largest of four to six different numbers below 1,000."""
    numbers = rng.sample(range(1, 1000), rng.randint(4, 6))
    question = rng.choice(
        (
            f"Which is the largest number in this list: {comma_separated(numbers)}?",
            f"What is the largest of {listed(numbers)}?",
            f"Find the greatest of these numbers: {comma_separated(numbers)}.",
        )
    )
    best, steps = numbers[0], [f"Start with {numbers[0]}."]
    for number in numbers[1:]:
        if number > best:
            steps.append(f"{number} is larger than {best}.")
            best = number
        else:
            steps.append(f"{number} is not larger.")
    opening = rng.choice(("So the largest is", "The largest in the list is"))
    return Problem(question, f"{' '.join(steps)} {opening} {best}.", str(best))


def compare_numbers(rng: Random) -> Problem:
    """The larger or smaller of two numbers of one to four digits."""
    a = rng.randint(1, 9999)
    candidates = (_shuffled_digits(rng, a), rng.randint(1, 9999), a + 1)
    b = rng.choice([number for number in candidates if number != a])
    word = rng.choice(("larger", "smaller"))
    question = rng.choice(
        (
            f"Which number is {word}, {a} or {b}?",
            f"Of {a} and {b}, which is the {word} one?",
            f"Here are two numbers: {a} and {b}. Which one is {word}?",
        )
    )
    answer = max(a, b) if word == "larger" else min(a, b)
    return Problem(question, f"{_where_they_differ(a, b)} So {answer} is {word}.", str(answer))


def _shuffled_digits(rng: Random, number: int) -> int:
    return int("".join(rng.sample(str(number), len(str(number)))))


def _where_they_differ(a: int, b: int) -> str:
    x, y = str(a), str(b)
    if len(x) != len(y):
        return f"{a} has {_DIGIT.count(len(x))} and {b} has {_DIGIT.count(len(y))}."
    place = next(index for index, (p, q) in enumerate(zip(x, y, strict=True)) if p != q)
    relation = "more" if x[place] > y[place] else "less"
    return (
        f"Both have {_DIGIT.count(len(x))}. The first digits that differ are {x[place]} and {y[place]}, "
        f"and {x[place]} is {relation} than {y[place]}."
    )


def compare_word_lengths(rng: Random) -> Problem:
    """The longer or shorter of two words."""
    one, two = rng.sample(WORDS, 2)
    while len(one) == len(two):
        one, two = rng.sample(WORDS, 2)
    word = rng.choice(("longer", "shorter"))
    question = rng.choice(
        (
            f'Which word is {word}, "{one}" or "{two}"?',
            f'Of the words "{one}" and "{two}", which is the {word} one?',
            f'Is "{one}" or "{two}" the {word} word?',
        )
    )
    answer = sorted((one, two), key=len, reverse=word == "longer")[0]
    relation = "more" if len(one) > len(two) else "less"
    rationale = (
        f"{one} has {len(one)} letters and {two} has {len(two)} letters. "
        f"{len(one)} is {relation} than {len(two)}, so the {word} word is {answer}."
    )
    return Problem(question, rationale, answer)


_NUMBER, _LETTERS = AnswerFormat("number"), AnswerFormat("letters")

TASKS = (
    ProceduralTask("list_maximum", "ordering", 1, _NUMBER, list_maximum),
    ProceduralTask("compare_numbers", "ordering", 1, _NUMBER, compare_numbers),
    ProceduralTask("compare_word_lengths", "ordering", 1, _LETTERS, compare_word_lengths),
    ProceduralTask("sort_numbers", "ordering", 2, _LETTERS, sort_numbers),
    ProceduralTask("sort_words", "ordering", 2, _LETTERS, sort_words),
)
