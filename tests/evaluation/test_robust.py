import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.artifacts.completions import Completion
from finetune_cot.evaluation.checkers import Verdict, check_completion
from finetune_cot.tasks.sample import AnswerFormat

CHOICE = AnswerFormat("choice", choices="ABCDE")
NUMBER = AnswerFormat("number")
YES_NO = AnswerFormat("yes_no")
LETTERS = AnswerFormat("letters")


def _check(text: str, answer: str, answer_format: AnswerFormat, template: str = "zs") -> Verdict:
    completion = Completion(0, 0, "Why?", answer, "Q: Why?", text)
    return check_completion(completion, answer_format, template, "robust")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Because of that it is B.", "B"),
        ("Clearly (b)", "B"),
        ("(C) a dog", "C"),
        ("**D**", "D"),
        ("It is A because of that", "A"),
        ("B's ball. Eve has E", "E"),
        ("So it goes. A dog has D", "D"),
        ("ABC, then B", "B"),
        ("none of them", None),
    ],
)
def test_letters_are_whole_words(text: str, letter: str | None) -> None:
    assert _check(text, "A", CHOICE).prediction == letter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,234.50", "1234.50"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("\u22125 degrees", "-5"),
        ("\u20ac 1\u202f000", "1000"),
        (".5", "0.5"),
        ("3,4", "3"),
        ("3 + 4 = 7 apples", "7"),
        ("10-3=7", "7"),
        ("2 apples - 1 apple = 1 apple", "1"),
        ("7 = 3 + 4", "3"),
        ("12, as 3 * 4 = 12", "12"),
        ("seven", None),
    ],
)
def test_numbers_are_read_with_currency_and_thousands_marks(text: str, number: str | None) -> None:
    assert _check(text, "7", NUMBER).prediction == number


def test_numbers_are_compared_as_numbers() -> None:
    assert _check("7.00", "7", NUMBER).correct
    assert _check("$7", "7.0", NUMBER).correct
    assert _check("18", "$18 dollars", NUMBER).correct
    assert not _check("7.001", "7", NUMBER).correct
    assert not _check("90000000000000000001", "90000000000000000002", NUMBER).correct


@pytest.mark.parametrize("text", ["Yes", "**Yes**, it is", "(yes)", "the answer is: YES!", "know _yes_ no"])
def test_yes_is_a_word(text: str) -> None:
    assert _check(text, "yes", YES_NO).correct


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('So the word is "Yajo".', "yajo"),
        ("In order: 79, 62, 51.", "79, 62, 51"),
        ("The letters are y, a.\nThe answer is **ya**.", "ya"),
        ("It ends at 13:00.", "It ends at 13:00"),
        ("\\boxed{\\text{ya}}", "ya"),
        ("$1,000", "1000"),
        ("answer: 3.0", "3"),
    ],
)
def test_texts_are_compared_without_markup(text: str, answer: str) -> None:
    assert _check(text, answer, LETTERS).correct


def test_list_in_another_order_is_wrong() -> None:
    assert not _check("--> 62, 79", "79, 62", LETTERS, "ft_cot_token").correct


def test_an_announcement_counts_where_the_template_has_none() -> None:
    assert _check("Ann has 3 and Bob 4, so the answer is 7.", "7", NUMBER).correct
    assert _check("3 and 4\n#### 7", "7", NUMBER).correct
    assert _check("THE ANSWER IS 7, not 3", "7", NUMBER, "fs_cot").correct
    assert _check("3 --> 7. The answer is 3", "7", NUMBER, "ft_cot_token").correct
    assert _check("3, then 7", "7", NUMBER, "ft_cot_token").correct


@given(
    st.integers(0, 10**9),
    st.sampled_from(["{}", "{:,}", "${:,}", "{:,}.00", "**{}**", "{} apples", "$\\boxed{{{}}}$", "({})"]),
    st.sampled_from(["", " The answer is", "answer: ", "#### "]),
)
def test_ways_to_write_a_number_mean_the_same(number: int, form: str, announcement: str) -> None:
    assert _check(announcement + form.format(number), str(number), NUMBER).correct
