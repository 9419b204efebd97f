from dataclasses import replace

from finetune_cot.evaluation.checkers import Verdict
from finetune_cot.reporting.findings import Repeated
from finetune_cot.reporting.repetition import repeated_inference, repetition_charts, repetition_table
from tests.reporting.made_up import measured, student_id


def verdicts(predictions: str, answer: str = "a") -> list[Verdict]:
    return [Verdict(letter == answer, True, True, True, True, letter) for letter in predictions]


def test_the_most_frequent_answer_and_any_answer() -> None:
    questions = [verdicts("bab"), verdicts("aab"), verdicts("bbb")]
    assert list(repeated_inference(questions)) == [
        Repeated(1, 3, majority=1, any=1),
        Repeated(2, 3, majority=1, any=2),  # of b and a, each once, the first counts
        Repeated(3, 3, majority=1, any=2),
    ]


def test_questions_with_fewer_completions_are_left_out_where_more_are_used() -> None:
    found = list(repeated_inference([verdicts("aaaa"), verdicts("ab")]))
    assert [(item.completions, item.questions) for item in found] == [(1, 2), (2, 2), (4, 1)]


def test_one_completion_of_each_question_repeats_nothing() -> None:
    assert list(repeated_inference([verdicts("a"), verdicts("b")])) == []


def test_every_share_has_its_n_and_error() -> None:
    item = replace(measured(student_id(), 5), repeated=(Repeated(1, 4, 2, 2), Repeated(2, 4, 2, 4)))
    rows = [[cell.text for cell in row[4:]] for row in repetition_table([item]).rows]
    assert rows == [["1", "4", "50.0 ± 25.0", "50.0 ± 25.0"], ["2", "4", "50.0 ± 25.0", "100.0 ± 0.0"]]
    (chart,) = repetition_charts([item])
    assert "n = 4" in chart.x_label
    assert [(point.x, point.y) for point in chart.lines[1].points] == [(1, 50), (2, 100)]


def test_nothing_is_told_of_no_questions() -> None:
    unknown = [Verdict(False, False, True, True, False, "b")] * 2
    assert list(repeated_inference([unknown])) == []
