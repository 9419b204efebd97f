"""Rows as the authors of the data sets give them out; the rows are made up."""

import pytest

from finetune_cot.tasks.converters import (
    Converted,
    from_aqua,
    from_bigbench_choice,
    from_commonsense_qa,
    from_equation_problem,
    from_gsm8k,
    from_multiarith,
    from_question_and_answer,
    from_strategy_qa,
    from_svamp,
    split_worked_answer,
)

CHOICES = {"05/01/2021.": 0, "05/02/2021.": 1, "05/03/2021.": 0}


def test_every_form() -> None:
    assert from_gsm8k({"question": " 1 + 1? ", "answer": "One and one.\n#### 1,000"}) == Converted(
        "1 + 1?", "1,000", "One and one."
    )
    assert from_aqua(
        {"question": "How far?", "options": ["A)7 (km)", "B) 8"], "rationale": "Far.\n", "correct": "B"}
    ) == Converted("How far? Answer choices: (A) 7 (km), (B) 8.", "B", "Far.")
    assert from_commonsense_qa(
        {"question": "Where? ", "choices": {"label": ["A", "B"], "text": ["here", "there"]}, "answerKey": "A"}
    ) == Converted("Where? Answer choices: (A) here, (B) there.", "A")
    assert from_equation_problem({"sQuestion": " How many? ", "lSolutions": [43.0]}) == Converted(
        "How many?", "43.0"
    )
    assert from_multiarith({"sQuestion": "How many?", "lSolutions": [39.0]}) == Converted("How many?", "39")
    assert from_svamp({"Body": "Two birds. ", "Question": " How many?", "Answer": 2.0}) == Converted(
        "Two birds. How many?", "2.0"
    )
    assert from_strategy_qa(
        {"input": "Can it?", "target_scores": {"Yes": 0, "No": 1}, "target": "No. It is too big."}
    ) == Converted("Can it?", "No", "It is too big.")
    assert from_question_and_answer({"question": "Q", "answer": "yes"}) == Converted("Q", "yes")


@pytest.mark.parametrize(
    ("order", "listed", "answer"),
    [
        (None, "(A) 05/01/2021, (B) 05/02/2021, (C) 05/03/2021", "B"),
        ([2, 0, 1], "(A) 05/02/2021, (B) 05/03/2021, (C) 05/01/2021", "A"),
    ],
)
def test_choices_in_order_and_shuffled(order: list[int] | None, listed: str, answer: str) -> None:
    converted = from_bigbench_choice({"input": "When is it? ", "target_scores": CHOICES}, order)
    assert converted.question == f"When is it?\nWhich choice is true? Answer choices: {listed}."
    assert converted.answer == answer


def test_answers_without_working() -> None:
    assert split_worked_answer("42") == (None, "42")
    assert split_worked_answer("#### 42") == (None, "42")
    assert split_worked_answer("a #### b #### 42") == ("a #### b", "42")
