import pytest

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.artifacts.students import Student
from finetune_cot.reporting.naming import naming, train_key_and_run
from finetune_cot.reporting.runs import entries
from finetune_cot.reporting.scoring import OTHER
from tests.reporting.made_up import measured, student_id


@pytest.mark.parametrize(
    ("train_key", "expected"),
    [
        ("lora", ("lora", 0)),
        ("lora_run_2", ("lora", 2)),
        ("lora_run_2_best", ("lora_best", 2)),
        ("lora_run_0", ("lora_run_0", 0)),
        ("run_1", ("run_1", 0)),
    ],
)
def test_run_of_a_train_key(train_key: str, expected: tuple[str, int]) -> None:
    assert train_key_and_run(train_key) == expected


def test_runs_are_averaged_with_their_standard_deviation() -> None:
    (entry,) = entries([measured(student_id(), 4), measured(student_id("lora_run_1"), 8)])
    assert entry.accuracy == pytest.approx(0.6)
    assert entry.error == pytest.approx(0.2 * 2**0.5)
    assert entry.n == 10


def test_a_student_counts_after_its_last_epoch() -> None:
    (entry,) = entries([measured(student_id(epoch=epoch), correct) for epoch, correct in ((10, 3), (2, 9))])
    assert [run.id.epoch for run in entry.runs] == [10]
    assert entry.accuracy == pytest.approx(0.3)
    assert [item.id.epoch for item in entry.epochs[0]] == [2, 10]


def test_a_file_without_an_epoch_is_the_last_one() -> None:
    (entry,) = entries([measured(student_id(), 5), measured(student_id(epoch=3), 9)])
    assert entry.runs[0].id.epoch is None


def test_base_models_stand_before_their_students_and_other_parts_nowhere() -> None:
    base = CompletionId("m", "zs_cot", "gsm8k")
    found = entries([measured(student_id(), 5), measured(base, 1), measured(base, 1, part=OTHER)])
    assert [entry.naming.method for entry in found] == ["zero-shot-CoT", "fine-tune-CoT (token)"]


def test_the_data_set_itself_is_left_out_of_what_students_were_trained_on() -> None:
    assert naming(measured(student_id(), 1)).training == "ft_cot_*, lora"
    assert naming(measured(student_id(finetune_key="gsm8k"), 1)).training == "*, lora"
    assert naming(measured(student_id(finetune_key="ft_cot_aqua"), 1)).training == "ft_cot_aqua, lora"


def test_diverse_reasoning_is_told_by_the_metadata_or_else_by_the_preset() -> None:
    by_name = naming(measured(student_id(finetune_key="ft_cot_t70_8aug_gsm8k"), 1))
    assert by_name.method == "fine-tune-CoT (token) + diverse reasoning, k = 8"
    student = Student("m", "mine", "lora", "lora", "ft_cot_token", {}, 100, rationales_per_question=4)
    by_metadata = naming(measured(student_id(finetune_key="mine"), 1, student=student))
    assert by_metadata.method == "fine-tune-CoT (token) + diverse reasoning, k = 4"


def test_sampled_completions_are_named_so() -> None:
    assert (
        naming(measured(CompletionId("m", "zs_cot_t70", "gsm8k"), 1)).method
        == "zero-shot-CoT, 1 sampled at 0.7"
    )
    after = CompletionId("m", "zs", "gsm8k", "data", "lora")
    assert naming(measured(after, 1)).method == "zero-shot after fine-tuning"
