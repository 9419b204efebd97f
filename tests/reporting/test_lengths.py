from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.artifacts.finetune_data import FinetuneRow
from finetune_cot.reporting.findings import Lengths, TrainingData
from finetune_cot.reporting.lengths import (
    completion_lengths,
    lengths_charts,
    lengths_table,
    quantile,
    training_lengths,
)
from finetune_cot.tasks.sample import Sample
from tests.reporting.made_up import completion_of, measured, student_id

COMPLETION = completion_of(Sample(0, "q", "7", "task"), "ft_cot_token", right=True)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50).map(sorted), st.integers(0, 100))
def test_a_quantile_is_a_value_that_enough_do_not_exceed(values: list[int], share: int) -> None:
    found = quantile(values, share)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= share * len(values)
    assert 100 * sum(value < found for value in values) < max(share * len(values), 1)


def test_both_steps_count_and_tokens_only_where_all_are_told() -> None:
    told = replace(COMPLETION, extra={"completion_tokens": 12}, finish_reason="length")
    two_steps = replace(COMPLETION, reasoning_completion="one two three", reasoning_finish_reason="stop")
    found = completion_lengths([told, two_steps], 128)
    assert found == Lengths(words=(5, 8), tokens=(), limit=128, cut_off=1)
    assert completion_lengths([told], None).tokens == (12,)
    assert completion_lengths([replace(COMPLETION, finish_reason=None)], None).cut_off is None


def test_completions_stand_beside_what_their_student_learned() -> None:
    item = replace(measured(student_id(), 5), lengths=Lengths((3, 4), (5, 6), 128, 0))
    learned = training_lengths([FinetuneRow(0, 0, "gsm8k", "q", "two words", "1")])
    data = TrainingData("ft_cot_gsm8k", 1, 1, 1, ("gsm8k",), "teacher", {}, learned)
    rows = [[cell.value for cell in row] for row in lengths_table([item], [data]).rows]
    assert [row[4:] for row in rows] == [
        [2, 3, 4, 4, 5, 6, 6, 128, 0],
        [1, 3, 3, 3, None, None, None, None, None],
    ]
    chart, tokens = lengths_charts([item], [data])
    assert [line.label for line in chart.lines] == [
        "training data ft_cot_gsm8k, n = 1",
        "m, fine-tune-CoT (token) [ft_cot_*, lora], n = 2, 0 cut off at 128 tokens",
    ]
    assert [(point.x, point.y) for point in chart.lines[1].points] == [(3, 50), (4, 100)]
    written, limit = tokens.lines
    assert [(point.x, point.y) for point in written.points] == [(5, 50), (6, 100)]
    assert (limit.label, limit.dashed) == ("limit of 128 for the rationale", True)
    assert [(point.x, point.y) for point in limit.points] == [(128, 0), (128, 100)]
    assert list(lengths_charts([measured(student_id(), 5)], [])) == []


@pytest.mark.parametrize("values", [(), (1,)])
def test_nothing_is_told_of_no_texts(values: tuple[int, ...]) -> None:
    item = replace(measured(student_id(), 5), lengths=Lengths(values))
    (row,) = lengths_table([item], []).rows
    assert [cell.value for cell in row[4:6]] == ([1, 1] if values else [0, None])


def test_runs_and_epochs_are_told_apart() -> None:
    lengths = Lengths((3, 4))
    items = [
        replace(measured(student_id(*of), 5), lengths=lengths)
        for of in (("lora", None), ("lora_run_1", None), ("lora_run_1", 2))
    ]
    assert [row[2].text for row in lengths_table(items, []).rows] == [
        "ft_cot_*, lora",
        "ft_cot_*, lora, run 1",
        "ft_cot_*, lora, run 1, epoch 2",
    ]
