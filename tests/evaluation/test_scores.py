import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.evaluation.checkers import Verdict
from finetune_cot.evaluation.scores import Score, clustered_stderr, score

RIGHT = Verdict(True, True, True, True, True, "7")
WRONG = Verdict(False, True, False, False, True, "8")
UNTOLD = Verdict(False, False, True, None, True, None)
UNGRADABLE = Verdict(False, False, True, True, False, "9")


def test_score_by_hand() -> None:
    assert score([RIGHT, RIGHT, WRONG, UNTOLD, UNGRADABLE]) == Score(
        n=4,
        correct=2,
        accuracy=0.5,
        stderr=0.25,
        contains_answer=3,
        correct_format=3,
        complete=2,
        ungradable=1,
    )


def test_complete_is_unknown_where_nothing_tells() -> None:
    assert score([UNTOLD, UNTOLD]).complete is None


@pytest.mark.parametrize("verdicts", [[], [UNGRADABLE]])
def test_nothing_to_grade_gives_no_number(verdicts: list[Verdict]) -> None:
    result = score(iter(verdicts))
    assert (result.n, result.correct, result.ungradable) == (0, 0, len(verdicts))
    assert math.isnan(result.accuracy)
    assert math.isnan(result.stderr)


@given(st.lists(st.sampled_from([RIGHT, WRONG, UNTOLD, UNGRADABLE]), min_size=1))
def test_order_does_not_matter_and_parts_add_up(verdicts: list[Verdict]) -> None:
    result = score(verdicts)
    assert result.n + result.ungradable == len(verdicts)
    if result.n:
        assert result == score(reversed(verdicts))
        assert result.correct <= result.contains_answer <= result.n
        assert 0 <= result.stderr <= 0.5


def test_stderr_is_that_of_a_share_with_one_completion_a_question() -> None:
    right = [[True], [True], [True], [False]]
    assert clustered_stderr(right) == pytest.approx(math.sqrt(0.75 * 0.25 / 4))


def test_stderr_does_not_shrink_when_completions_are_repeated() -> None:
    assert clustered_stderr([[True] * 8, [False] * 8]) == pytest.approx(clustered_stderr([[True], [False]]))


def test_stderr_shrinks_when_completions_of_a_question_differ() -> None:
    assert clustered_stderr([[True, False], [False, True]]) == 0


def test_stderr_of_nothing_is_not_a_number() -> None:
    assert math.isnan(clustered_stderr([[], []]))
