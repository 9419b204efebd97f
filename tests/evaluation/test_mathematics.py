import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import UsageError
from finetune_cot.evaluation.checkers import Verdict, check_completion
from finetune_cot.tasks.sample import AnswerFormat

NUMBER = AnswerFormat("number")
LETTERS = AnswerFormat("letters")


def _check(text: str, answer: str, answer_format: AnswerFormat = LETTERS) -> Verdict:
    completion = Completion(0, 0, "Why?", answer, "Q: Why?", text)
    return check_completion(completion, answer_format, "zs", "math-verify")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is $\\frac{6}{8}$.", "\\frac{3}{4}"),
        ("so \\boxed{\\frac{6}{8}}", "$\\frac{3}{4}$"),
        ("the answer is x + 1", "1 + x"),
        ("(x-1)(x+1)", "x^2 - 1"),
        ("the answer is 2/4", "1/2"),
    ],
)
def test_equal_expressions_are_right(text: str, answer: str) -> None:
    pytest.importorskip("math_verify")
    assert _check(text, answer).correct
    assert not _check(text, "7*y").correct


def test_numbers_and_plain_texts() -> None:
    pytest.importorskip("math_verify")
    assert _check("the answer is 3/4", "0.75", NUMBER).correct
    assert _check("1,000 dollars", "1000", NUMBER).correct
    assert not _check("62, 79", "79, 62").correct
    assert _check("79, 62", "79, 62").correct
    assert _check("it is (B)", "B", AnswerFormat("choice", choices="ABC")).correct
    assert _check("72", "72 apples", NUMBER).correct
    assert not _check("many", "\\notmath{", LETTERS).gradable


def test_works_outside_the_main_thread() -> None:
    pytest.importorskip("math_verify")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(_check, "the answer is 1/2", "2/4").result().correct


def test_missing_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(UsageError, match=r"pip install 'finetune-cot\[math\]'"):
        _check("7", "7", NUMBER)
