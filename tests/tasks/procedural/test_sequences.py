import re


def solve(question: str) -> str:
    a, b, c, d = map(int, re.findall(r"\d+", question))
    if d - c == c - b == b - a:
        return str(d + (d - c))
    if (d - c) - (c - b) == (c - b) - (b - a):
        return str(d + (d - c) + (d - c) - (c - b))
    assert b * b == a * c
    assert c * c == b * d
    return str(d * d // c)


def test_sequences_go_on_by_their_rule(check_answers, check_equations) -> None:
    check_answers("sequence_continuation", solve)
    check_equations("sequence_continuation")
