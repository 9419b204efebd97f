import re
from collections.abc import Callable

from finetune_cot.tasks.procedural.counting import CATEGORIES


def count_letter(question: str) -> str:
    letter = re.search(r"\b(?:letter|write) (\w) ", question)
    phrase = re.search(r'"(.+)"', question)
    assert letter
    assert phrase
    return str(sum(1 for character in phrase[1] if character == letter[1]))


def count_items(question: str) -> str:
    (asked,) = [kind for kind in CATEGORIES if f"How many {kind}" in question or f"are {kind}?" in question]
    things = re.findall(r"\ban? \w+", question.split(".")[0].partition(" shows ")[2] or question)
    return str(sum(thing in CATEGORIES[asked].split(",") for thing in things))


def test_counts(check_answers: Callable[..., None]) -> None:
    check_answers("count_letter", count_letter)
    check_answers("count_items", count_items)


def test_no_thing_is_of_two_kinds() -> None:
    things = [thing for kind in CATEGORIES.values() for thing in kind.split(",")]
    assert len(set(things)) == len(things) == 60


def test_articles_fit() -> None:
    for kind in CATEGORIES.values():
        for thing in kind.split(","):
            article, _, noun = thing.partition(" ")
            assert article == ("an" if noun[0] in "aeiou" else "a")
