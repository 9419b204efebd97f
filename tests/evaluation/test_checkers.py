from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import UsageError
from finetune_cot.evaluation.checkers import CHECKERS, Verdict, check_completion
from finetune_cot.prompts.templates import TEMPLATES, answer_prefixes, is_finetune, training_segments
from finetune_cot.tasks.procedural.registry import bundled_dataset
from finetune_cot.tasks.sample import AnswerFormat

CHOICE = AnswerFormat("choice", choices="ABCDE")
NUMBER = AnswerFormat("number")
DECIMAL = AnswerFormat("number", compare_as_float=True)
YES_NO = AnswerFormat("yes_no")
LETTERS = AnswerFormat("letters")


def _completion(text: str, answer: str) -> Completion:
    return Completion(0, 0, "Why?", answer, "Q: Why?", text)


def _check(
    text: str, answer: str, answer_format: AnswerFormat, template: str, checker: str = "published"
) -> Verdict:
    return check_completion(_completion(text, answer), answer_format, template, checker)


@pytest.mark.parametrize(
    ("text", "template", "answer_format", "prediction"),
    [
        # Prefix found: the first candidate after it.
        ("3 + 4 = 7. The answer is 7. Or 8.", "fs_cot", NUMBER, "7"),
        ("5 --> 7 --> 8", "ft_cot_token", NUMBER, "7"),
        ("5. Therefore, the answer is 7 or 8", "ft_cot_natural", NUMBER, "7"),
        ("5. Therefore the answer is 7 or 8", "ft_cot_natural", NUMBER, "7"),
        ("5. Therefore the answer is 7. Therefore, the answer is 8", "ft_cot_natural", NUMBER, "7"),
        ("5 --> none", "ft_cot_token", NUMBER, None),
        # Prefix not found: the last candidate.
        ("3 + 4 = 7", "fs_cot", NUMBER, "7"),
        ("3 + 4 = 7", "ft_cot_token", NUMBER, "7"),
        ("the answer is 3 and not 4", "fs_cot", NUMBER, "4"),
        # No prefix: the first candidate.
        *((" 3 + 4 = 7", template, NUMBER, "3") for template in ("zs", "zs_cot", "ft_token", "ft_natural")),
        # Numbers: commas go, whatever they are; a sign stays.
        (" $1,234.50.", "zs", NUMBER, "1234.50"),
        (" 3,4", "zs", NUMBER, "34"),
        (" 10-3", "zs", NUMBER, "10"),
        (" -3.", "zs", NUMBER, "-3"),
        # Choices: any of the capital letters, also within a word.
        (" Because (B)", "zs", CHOICE, "B"),
        (" F or (e) or D", "zs", CHOICE, "D"),
        # Yes and no: words, with some marks as blanks.
        (' "Yes".', "zs", YES_NO, "yes"),
        (" know: NO,", "zs", YES_NO, "no"),
        (" (yes) no", "zs", YES_NO, "no"),
        # Letters: all of the text.
        (' "y a.j\n\'o".', "zs", LETTERS, "yajo"),
        ('Joined: --> "yajo"', "ft_cot_token", LETTERS, "yajo"),
    ],
)
def test_published_prediction(
    text: str, template: str, answer_format: AnswerFormat, prediction: str | None
) -> None:
    assert _check(text, "7", answer_format, template).prediction == prediction


def test_published_comparison() -> None:
    assert not _check("7.0", "7", NUMBER, "zs").correct
    assert _check("7.0", "7", DECIMAL, "zs").correct
    assert _check("0.3333333", "0.33333333", DECIMAL, "zs").correct
    assert not _check("0.33333", "0.33333333", DECIMAL, "zs").correct
    assert _check("1000", "1,000", NUMBER, "zs").correct
    assert _check("yes", "Yes", YES_NO, "zs").correct
    assert not _check("Yajo", "yajo", LETTERS, "zs").correct
    assert _check("79, 62", "79, 62", LETTERS, "zs").correct


def test_verdict_has_all_parts() -> None:
    verdict = _check("It is 7 --> 8, not 7", "7", NUMBER, "ft_cot_token")
    assert verdict == Verdict(
        correct=False,
        contains_answer=True,
        correct_format=True,
        complete=None,
        gradable=True,
        prediction="8",
    )


def test_contains_answer_looks_after_the_prefix_alone() -> None:
    assert not _check("7 --> 8", "7", NUMBER, "ft_cot_token").contains_answer
    assert _check("7 or 8", "7", NUMBER, "ft_cot_token").contains_answer
    assert _check("8 or 7", "7", NUMBER, "zs").contains_answer


@pytest.mark.parametrize("checker", CHECKERS)
def test_correct_format_is_the_presence_of_the_prefix(checker: str) -> None:
    assert _check("--> none", "7", NUMBER, "ft_cot_token", checker).correct_format
    assert not _check("7", "7", NUMBER, "ft_cot_token", checker).correct_format
    assert _check("none", "7", NUMBER, "zs", checker).correct_format


@pytest.mark.parametrize(
    ("fields", "complete"),
    [
        ({}, None),
        ({"finish_reason": "stop"}, True),
        ({"finish_reason": "length"}, False),
        ({"finish_reason": "content_filter"}, False),
        ({"reasoning_completion": "So", "finish_reason": "stop"}, None),
        ({"reasoning_completion": "So", "finish_reason": "length", "reasoning_finish_reason": "stop"}, True),
        ({"reasoning_completion": "So", "finish_reason": "stop", "reasoning_finish_reason": "length"}, False),
        (
            {
                "reasoning_completion": "So",
                "finish_reason": "content_filter",
                "reasoning_finish_reason": "stop",
            },
            False,
        ),
    ],
)
def test_complete_is_about_the_text_with_the_rationale(fields: dict[str, str], complete: bool | None) -> None:
    completion = replace(_completion("7", "7"), **fields)  # type: ignore[arg-type]
    assert check_completion(completion, NUMBER, "zs").complete is complete


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize(
    ("answer", "answer_format"),
    [("many", NUMBER), ("", NUMBER), ("Z", CHOICE), ("A or B", CHOICE), ("maybe", YES_NO), (' ".', LETTERS)],
)
def test_an_answer_that_cannot_be_read_is_neither_right_nor_wrong(
    answer: str, answer_format: AnswerFormat, checker: str
) -> None:
    verdict = _check(answer, answer, answer_format, "zs", checker)
    assert (verdict.gradable, verdict.correct, verdict.contains_answer) == (False, False, False)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no checker 'strict'; use published, robust, math-verify"):
        _check("7", "7", NUMBER, "zs", "strict")
    with pytest.raises(UsageError, match="no template 'zscot'; did you mean zs_cot"):
        _check("7", "7", NUMBER, "zscot")


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("template", [name for name in TEMPLATES if is_finetune(name)])
def test_labels_of_bundled_tasks_are_right(template: str, checker: str) -> None:
    dataset = bundled_dataset("bundled", 3)
    for sample in dataset.samples:
        label = training_segments(template, "decoder", sample.question, sample.rationale, sample.answer)[1]
        verdict = _check(label.text, sample.answer, dataset.answer_formats[sample.task], template, checker)
        assert (verdict.correct, verdict.contains_answer, verdict.gradable) == (True, True, True), label.text


FORMATS = st.sampled_from([CHOICE, NUMBER, DECIMAL, YES_NO, LETTERS])
TEXTS = st.text() | st.text("0123456789-+.,$() =yesnoABE'\"\n", max_size=40)
GOLDS = {
    "choice": st.sampled_from("ABCDE"),
    "number": st.integers(-(10**12), 10**12).map(str)
    | st.decimals(-1000, 1000, places=2).map(str).filter(lambda text: text != "-0.00"),
    "yes_no": st.sampled_from(["yes", "no", "Yes", "No"]),
    "letters": st.from_regex(r"[a-z]{1,8}([ -][a-z0-9]{1,8}){0,2}", fullmatch=True),
}


@given(TEXTS, TEXTS, FORMATS, st.sampled_from(list(TEMPLATES)), st.sampled_from(["published", "robust"]))
def test_any_text_gets_a_verdict(
    text: str, answer: str, answer_format: AnswerFormat, template: str, checker: str
) -> None:
    verdict = _check(text, answer, answer_format, template, checker)
    assert verdict.contains_answer or not verdict.correct
    assert verdict.gradable or not verdict.contains_answer
    assert verdict.prediction is not None or not verdict.correct


@given(st.data(), FORMATS, st.sampled_from(list(TEMPLATES)), st.sampled_from(["published", "robust"]))
def test_prefix_and_answer_are_right(
    data: st.DataObject, answer_format: AnswerFormat, template: str, checker: str
) -> None:
    answer = data.draw(GOLDS[answer_format.kind])
    for prefix in answer_prefixes(template) or ("",):
        for text in (f"{prefix} {answer}", f"{prefix} {answer}."):
            assert _check(text, answer, answer_format, template, checker).correct


@given(
    st.data(), st.sampled_from([CHOICE, NUMBER, DECIMAL, YES_NO]), st.sampled_from(["published", "robust"])
)
def test_what_follows_a_full_stop_after_the_answer_changes_nothing(
    data: st.DataObject, answer_format: AnswerFormat, checker: str
) -> None:
    answer, more = data.draw(GOLDS[answer_format.kind]), data.draw(st.text())
    text = f"So --> {answer}. {more}"
    assert _check(text, answer, answer_format, "ft_cot_token", checker).correct
