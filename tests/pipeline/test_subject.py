"""Whose completions: students by their keys, and models by their folders; told apart by their weights."""

from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.ids import ModelMetadataId
from finetune_cot.artifacts.students import STUDENT_FILE, Student, write_student
from finetune_cot.config.shared import DEFAULT_MODEL
from finetune_cot.errors import ArtifactError, ModelError
from finetune_cot.pipeline.subject import (
    base_subject,
    fingerprint,
    folder_subject,
    student_subject,
    weights_identity,
)

STUDENT = Student(
    model_key="org/base",
    finetune_key="data",
    train_key="lora",
    method="lora",
    template="ft_cot_token",
    checkpoints={"0": "checkpoints/data_run_0", "1": "checkpoints/data_run_1"},
    training_samples=1,
)


def adapter(folder: Path, weights: bytes = b"w") -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/recorded"}')
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def checkpoint(saved_dir: Path) -> Path:
    """Run 1 of a student, with its metadata in both places."""
    folder = saved_dir / "checkpoints" / "data_run_1"
    for part in ("last", "best", "epochs/epoch_002"):
        adapter(folder / part, part.encode())
    write_student(folder / STUDENT_FILE, replace(STUDENT, checkpoints={"1": "checkpoints/data_run_1"}))
    write_student(ModelMetadataId("org-base", "data", "lora").path(saved_dir), STUDENT)
    return folder


def test_a_student_by_its_keys(checkpoint: Path, saved_dir: Path) -> None:
    subject = student_subject("org/base", "data", "lora", 1, None, saved_dir)
    assert (subject.base_model, subject.finetune_key, subject.train_key) == ("org-base", "data", "lora_run_1")
    assert (subject.template, subject.folder) == ("ft_cot_token", checkpoint / "last")
    assert student_subject("org/base", "data", "lora", 1, 2, saved_dir).folder == (
        checkpoint / "epochs" / "epoch_002"
    )
    with pytest.raises(ArtifactError, match="this student has no run 2; it has: 0, 1"):
        student_subject("org/base", "data", "lora", 2, None, saved_dir)
    with pytest.raises(ArtifactError, match="kept are: epoch_002"):
        student_subject("org/base", "data", "lora", 1, 7, saved_dir)
    unknown = student_subject("org/base", "other", "lora", 0, None, saved_dir)
    assert (unknown.folder, unknown.template) == (None, None)


@pytest.mark.parametrize(
    ("part", "train_key", "epoch", "weights"),
    [
        (".", "lora_run_1", None, "last"),
        ("last", "lora_run_1", None, "last"),
        ("best", "lora_run_1_best", None, "best"),
        ("epochs/epoch_002", "lora_run_1", 2, "epochs/epoch_002"),
    ],
)
def test_a_checkpoints_folder_and_those_within(
    part: str, train_key: str, epoch: int | None, weights: str, checkpoint: Path, saved_dir: Path
) -> None:
    subject = folder_subject(checkpoint / part, DEFAULT_MODEL)
    assert (subject.train_key, subject.epoch, subject.model_key) == (train_key, epoch, "org/base")
    assert subject.folder == checkpoint / weights
    if part == ".":
        assert subject == student_subject("org/base", "data", "lora", 1, None, saved_dir)


def test_a_merged_export_is_not_mixed_with_its_checkpoint(tmp_path: Path) -> None:
    export = tmp_path / "data_run_1"
    export.mkdir()
    (export / "config.json").write_text("{}")
    write_student(export / STUDENT_FILE, STUDENT)
    assert folder_subject(export, DEFAULT_MODEL).train_key == "lora_run_1_merged"
    write_student(export / STUDENT_FILE, replace(STUDENT, method="full"))
    assert folder_subject(export, DEFAULT_MODEL).train_key == "lora_run_1"


def test_plain_folders(tmp_path: Path) -> None:
    subject = folder_subject(adapter(tmp_path / "mine"), DEFAULT_MODEL)
    assert (subject.base_model, subject.finetune_key, subject.train_key) == (
        "org-recorded",
        "mine",
        "adapter",
    )
    assert folder_subject(tmp_path / "mine", "org/given").base_model == "org-given"
    (tmp_path / "whole").mkdir()
    with pytest.raises(ModelError, match="neither a checkpoint, nor an adapter, nor a model"):
        folder_subject(tmp_path / "whole", DEFAULT_MODEL)
    (tmp_path / "whole" / "config.json").write_text("{}")
    whole = folder_subject(tmp_path / "whole", DEFAULT_MODEL)
    assert (whole.base_model, whole.is_student) == ("whole", False)
    with pytest.raises(ModelError, match="no fine-tuned model is there"):
        folder_subject(tmp_path / "none", DEFAULT_MODEL)


def test_the_identity_follows_the_weights_alone(tmp_path: Path) -> None:
    one = adapter(tmp_path / "one", b"w" * 3_000_000)
    two = adapter(tmp_path / "two", b"w" * 3_000_000)
    (two / "trainer_state.safetensors").write_bytes(b"state")
    assert fingerprint(one) == fingerprint(two)
    for place in (0, 1_500_000, 2_999_999):
        changed = bytearray(b"w" * 3_000_000)
        changed[place] = 0
        (two / "adapter_model.safetensors").write_bytes(changed)
        assert fingerprint(one) != fingerprint(two)
    assert weights_identity(folder_subject(one, DEFAULT_MODEL)) == f"{fingerprint(one)} on hub:org/recorded"


def test_the_identity_of_base_models(tmp_path: Path) -> None:
    assert weights_identity(base_subject("org/base")) == "hub:org/base"
    assert weights_identity(base_subject(DEFAULT_MODEL)) == f"embedded:{DEFAULT_MODEL}"
    folder = adapter(tmp_path / "model")
    assert weights_identity(base_subject(str(folder))) == fingerprint(folder)
    assert weights_identity(base_subject(str(tmp_path / "gone"))) is None
