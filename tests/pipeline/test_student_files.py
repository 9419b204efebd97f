"""Which student is meant where the way of training is not told."""

from pathlib import Path

from finetune_cot.artifacts.ids import ModelMetadataId
from finetune_cot.artifacts.students import Student, write_student
from finetune_cot.pipeline.student_files import usual_train_key


def test_the_only_student_of_some_data_is_meant(saved_dir: Path) -> None:
    def train(key: str, data: str) -> None:
        student = Student("a/b", data, key, "qlora", "ft_token", {"0": "x"}, training_samples=1)
        write_student(ModelMetadataId("a-b", data, key).path(saved_dir), student)

    assert usual_train_key("a/b", "data", saved_dir) == "lora"
    train("qlora", "data")
    train("full", "other")
    assert usual_train_key("a/b", "data", saved_dir) == "qlora"
    train("adapter", "data")
    assert usual_train_key("a/b", "data", saved_dir) == "lora"
    assert usual_train_key("b", "other", saved_dir) == "lora"
