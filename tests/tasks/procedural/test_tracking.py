import re

from finetune_cot.tasks.procedural.registry import generate_samples


def heads(question: str) -> str:
    flips = len(re.findall("turns it over|flips it over|on its other side", question))
    start = re.search("heads|tails", question)
    assert start
    return "yes" if (start[0] == "heads") == (flips % 2 == 0) else "no"


def held(question: str) -> str | None:
    held_by = dict(re.findall(r"(\w+) holds (the \w+ \w+)", question))
    assert len(held_by) == 3
    swaps = re.findall(r"(\w+) and (\w+) (?:swap|trade|exchange)", question)
    assert len(swaps) == 3
    for one, two in swaps:
        held_by[one], held_by[two] = held_by[two], held_by[one]
    asked = re.search(r"does (\w+) hold|in (\w+)'s hands", question)
    assert asked
    options = {thing: letter for letter, thing in re.findall(r"\((\w)\) (the \w+ \w+)", question)}
    return options[held_by[asked[1] or asked[2]]]


def test_coins(check_answers) -> None:
    check_answers("coin_flip", heads)


def test_swapped_things(check_answers) -> None:
    check_answers("tracking_shuffled_objects", held)


def test_letters_of_options_are_in_no_name() -> None:
    for sample in generate_samples("tracking_shuffled_objects", 300):
        assert len(re.findall("[ABC]", sample.rationale)) == 1
