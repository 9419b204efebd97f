from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.students import Student, read_student, write_student
from finetune_cot.errors import ArtifactError

STUDENT = Student(
    model_key="google/gemma-2b",
    finetune_key="ft_cot_sums",
    train_key="lora_r_4",
    method="lora",
    template="ft_cot_token",
    checkpoints={"0": "checkpoints/sums_gemma_run_0"},
    training_samples=332,
    rationales_per_question=1,
    teacher="davinci",
)


def test_runs_gather_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "B_gemma" / "F_x__T_y.json"
    write_student(path, STUDENT)
    assert read_student(path) == STUDENT
    write_student(path, replace(STUDENT, checkpoints={"1": "checkpoints/sums_gemma_run_1"}))
    assert read_student(path).checkpoints == {
        "0": "checkpoints/sums_gemma_run_0",
        "1": "checkpoints/sums_gemma_run_1",
    }
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"model_key": "a", "colour": "red"}'])
def test_what_is_no_student_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "F_x__T_y.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match="is no student's metadata; `ftcot train` writes it"):
        read_student(path)


def test_a_torn_file_is_named_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "F_x__T_y.json"
    path.write_text('{"model_key": "go')
    with pytest.raises(ArtifactError, match="is torn or no JSON"):
        write_student(path, STUDENT)
    assert path.read_text() == '{"model_key": "go'
