import re
from itertools import permutations

from finetune_cot.tasks.procedural.logic import COMPARISONS


def truth(question: str) -> str:
    expression = max(re.findall(r"(?:[()]|\b(?:and|or|not|True|False)\b|\s)+", question), key=len)
    return "yes" if eval(expression.strip()) else "no"


def even_or_odd(question: str) -> str:
    a, b = map(int, re.findall(r"\d+", question))
    value = a * b if "*" in question or "product" in question else a + b
    return "yes" if (value % 2 == 0) == ("even" in question) else "no"


def extreme(question: str) -> str:
    """Tries every order of the four people against the facts."""
    facts = re.findall(r"(\w+) is (\w+) than (\w+)\.", question)
    assert len(facts) == 3
    ((_, most, less, least),) = [words for words in COMPARISONS if {words[0], words[2]} & {facts[0][1]}]
    ranked = [(two, one) if word == less else (one, two) for one, word, two in facts]
    people = sorted({person for pair in ranked for person in pair})
    (order,) = [
        order for order in permutations(people) if all(order.index(a) < order.index(b) for a, b in ranked)
    ]
    person = order[0] if f"the {most}?" in question else order[-1]
    assert f"the {most}?" in question or f"the {least}?" in question
    return {name: letter for letter, name in re.findall(r"\((\w)\) (\w+)", question)}[person]


def test_expressions(check_answers) -> None:
    check_answers("boolean_expression", truth)


def test_parity(check_answers) -> None:
    check_answers("parity", even_or_odd)


def test_orders(check_answers) -> None:
    check_answers("transitive_order", extreme)
