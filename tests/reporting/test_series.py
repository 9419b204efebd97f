from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.students import Student
from finetune_cot.reporting.charts import Line, Point
from finetune_cot.reporting.contrasts import Origin
from finetune_cot.reporting.runs import Entry, entries
from finetune_cot.reporting.series import (
    by_model_size,
    by_rationales,
    by_teacher_size,
    by_training_samples,
    line_charts,
)
from tests.reporting.made_up import measured, student_id


def students(*made: tuple[str, int, int, int]) -> list[Entry]:
    """Entries by finetune key, rationales, training samples and right answers."""
    return entries(
        measured(
            student_id(finetune_key=key),
            correct,
            student=Student("m", key, "lora", "lora", "ft_cot_token", {}, samples, rationales),
        )
        for key, rationales, samples, correct in made
    )


def test_presets_that_differ_in_their_number_are_one_series() -> None:
    rows = students(("ft_cot_t70_8aug_gsm8k", 8, 80, 7), ("ft_cot_t70_1aug_gsm8k", 1, 10, 3))
    (series,) = by_rationales(rows)
    assert [(number, entry.accuracy) for number, entry in series.points] == [(1, 0.3), (8, 0.7)]


def test_transfer_to_another_data_set_is_a_series_of_its_own() -> None:
    rows = students(("ft_cot_t70_8aug_gsm8k", 8, 80, 7), ("ft_cot_t70_1aug_aqua", 1, 10, 3))
    assert len(by_rationales(rows)) == 2


def test_a_chart_has_the_points_in_percent_with_their_errors() -> None:
    rows = students(("ft_cot_t70_4aug_gsm8k", 4, 40, 5), ("ft_cot_t70_1aug_gsm8k", 1, 10, 2))
    (chart,) = line_charts("by_k", "Accuracy", "Rationales", by_rationales(rows))
    assert chart.name == "by_k_gsm8k"
    assert "n = 10" in chart.x_label
    (line,) = chart.lines
    assert line.label == "m"
    assert [(point.x, point.y) for point in line.points] == [(1, 20), (4, 50)]
    assert [round(point.error or 0, 1) for point in line.points] == [12.6, 15.8]


def test_a_single_number_makes_no_chart() -> None:
    rows = students(("ft_cot_t70_4aug_gsm8k", 4, 40, 5))
    assert line_charts("by_k", "Accuracy", "Rationales", by_rationales(rows)) == []


def test_sizes_are_compared_at_the_same_number_of_rationales() -> None:
    same = students(("half_gsm8k", 1, 50, 3), ("all_gsm8k", 1, 100, 5))
    (series,) = by_training_samples(same, {})
    assert [number for number, _ in series.points] == [50, 100]
    assert by_training_samples(students(("a_gsm8k", 1, 50, 3), ("b_gsm8k", 2, 100, 5)), {}) == []


def test_models_of_one_method_stand_in_the_order_of_their_size() -> None:
    models = [CompletionId(f"opt-{size}", "zs_cot", "gsm8k") for size in ("1.3b", "125m")]
    (series,) = by_model_size(entries(measured(id, 3) for id in models))
    assert [number for number, _ in series.points] == [125, 1300]


def test_sizes_are_compared_within_one_origin() -> None:
    rows = students(("half_gsm8k", 1, 50, 3), ("all_gsm8k", 1, 100, 5))
    assert by_training_samples(rows, {"half_gsm8k": Origin(only_correct=False)}) == []


def test_families_have_lines_of_their_own_and_may_stand_beside_others() -> None:
    models = [CompletionId(name, "zs_cot", "gsm8k") for name in ("opt-125m", "opt-1.3b", "pythia-1b")]
    every = by_model_size(entries(measured(id, 3) for id in models))
    assert [series.label[0] for series in every] == ["opt", "pythia"]
    (alone,) = line_charts("s", "S", "M", every)
    assert [line.label for line in alone.lines] == ["opt"]
    paper = Line("paper", (Point(300, 7.0),), 2, dashed=True)
    (beside,) = line_charts("s", "S", "M", every, {"gsm8k": [paper]})
    assert [line.label for line in beside.lines] == ["opt", "pythia", "paper"]


def test_teachers_stand_in_the_order_of_their_size() -> None:
    made = [
        Student("m", key, "lora", "lora", "ft_cot_token", {}, 10, 1, teacher)
        for key, teacher in (("a", "opt-6.7b"), ("b", "text-davinci-002"), ("c", "unknown"))
    ]
    rows = entries(measured(student_id(finetune_key=item.finetune_key), 3, student=item) for item in made)
    (series,) = by_teacher_size(rows)
    assert [number for number, _ in series.points] == [6700, 175_000]
