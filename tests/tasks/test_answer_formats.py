import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.tasks.answer_formats import (
    PUBLISHED_FORMATS,
    answer_format_from_json,
    answer_format_to_json,
    infer_answer_format,
)
from finetune_cot.tasks.sample import AnswerFormat, Sample

DECIMAL = AnswerFormat("number", compare_as_float=True)


def infer(*answers: str, question: str = "?") -> AnswerFormat:
    return infer_answer_format(Sample(i, question, answer, "t") for i, answer in enumerate(answers))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (("1", "-2.5", "1,000"), DECIMAL),
        (("yes", "No "), AnswerFormat("yes_no")),
        (("A", "C"), AnswerFormat("choice", choices="ABC")),
        (("A", "yes"), AnswerFormat("letters")),
        (("3", "three"), AnswerFormat("letters")),
    ],
)
def test_the_narrowest_format(answers: tuple[str, ...], expected: AnswerFormat) -> None:
    assert infer(*answers) == expected


def test_choices_that_no_answer_names_are_seen_in_the_question() -> None:
    assert infer("A", question="Which? (A) x (B) y (E) z").choices == "ABCDE"


@given(st.sampled_from(["choice", "number", "yes_no", "letters"]), st.booleans())
def test_formats_are_read_as_they_were_written(kind: str, as_float: bool) -> None:
    choices = "ABC" if kind == "choice" else ""
    answer_format = AnswerFormat(kind, choices, as_float)  # type: ignore[arg-type]
    assert answer_format_from_json(answer_format_to_json(answer_format), "here") == answer_format


def test_there_are_twelve_published_ones() -> None:
    assert len(PUBLISHED_FORMATS) == 12
