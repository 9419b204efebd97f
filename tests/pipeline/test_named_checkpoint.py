"""A checkpoint is found by the options that it was trained with."""

import os
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.manifest import start, write_manifest
from finetune_cot.artifacts.students import Student, write_student
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.options import to_plain
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.pipeline.named_checkpoint import named_checkpoint


@pytest.fixture(autouse=True)
def three_checkpoints(saved_dir: Path) -> None:
    """As `train` leaves them, and one that is not finished."""
    options: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("a_run_0", "glue-rte", {"method": "lora", "lora_rank": 8}),
        ("b_run_0", "rationales", {"method": "lora", "save_name": "mine"}),
        ("b_run_1", "rationales", {"method": "full", "run": 1, "data_path": "rows.jsonl"}),
    )
    for age, (name, data, how) in enumerate(options):
        checkpoint = saved_dir / "checkpoints" / name
        (checkpoint / "last").mkdir(parents=True)
        os.utime(checkpoint / "last", (1e9 + age, 1e9 + age))
        student = Student(
            "a/b", data, how["method"], how["method"], "ft_token", {"0": "x"}, training_samples=9
        )
        write_student(checkpoint / "student.json", student)
        config = TrainConfig(model_key="a/b", train_key=how["method"], **how)
        write_manifest(checkpoint / "manifest.json", start("train", to_plain(config)).manifest())
    (saved_dir / "checkpoints" / "unfinished_run_0" / "last").mkdir(parents=True)


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ({}, "unfinished_run_0"),
        ({"model_key": "a/b"}, "b_run_1"),
        ({"finetune_key": "rationales"}, "b_run_1"),
        ({"finetune_key": "rationales", "run": 0}, "b_run_0"),
        ({"finetune_key": "rationales", "method": "lora"}, "b_run_0"),
        ({"finetune_key": "glue/rte"}, "a_run_0"),
        ({"train_key": "lora"}, "b_run_0"),
        ({"lora_rank": 8}, "a_run_0"),
        ({"save_name": "mine"}, "b_run_0"),
        ({"data_path": "rows.jsonl"}, "b_run_1"),
    ],
)
def test_the_last_one_that_fits(named: dict[str, Any], name: str, saved_dir: Path) -> None:
    assert named_checkpoint(ExportHfConfig(saved_dir=saved_dir, **named)).name == name


def test_none_that_fits(saved_dir: Path) -> None:
    with pytest.raises(
        ModelError, match=r"no such checkpoint.*--model-key; name one of .*b_run_1.*unfinished"
    ):
        named_checkpoint(ExportHfConfig(saved_dir=saved_dir, model_key="gpt2"))
    with pytest.raises(UsageError, match="--load-model-dir: names a checkpoint that --method names too"):
        named_checkpoint(ExportHfConfig(load_model_dir=saved_dir, method="lora"))
