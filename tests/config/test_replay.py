"""Config files: manifests, TOML, YAML and JSON."""

import json
from pathlib import Path

import pytest

from finetune_cot.config.options import build
from finetune_cot.config.replay import read_config_file
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import UsageError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.toml", 'lora-rank = 8\nlogger = ["wandb"]\n'),
        ("c.yaml", "lora-rank: 8\nlogger: [wandb]\n"),
        ("c.json", '{"lora-rank": 8, "logger": ["wandb"]}'),
        ("c.json", '{"command": "train", "config": {"lora_rank": 8, "logger": ["wandb"]}}'),
        (
            "c.json",
            '{"metadata": {"manifest": {"command": "train", "config": {"lora_rank": 8, "logger": "wandb"}}}}',
        ),
    ],
)
def test_every_form_gives_the_same_config(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    config = build(TrainConfig, read_config_file(tmp_path / name, "train"))
    assert config == TrainConfig(lora_rank=8, logger=("wandb",))


def test_a_folder_stands_for_its_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"command": "train", "config": {"seed": 3}}))
    assert read_config_file(tmp_path, "train") == {"seed": 3}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.toml", "lora-rank = = 8", "is no TOML"),
        ("c.yaml", "a: [1", "is no YAML"),
        ("c.json", '{"a": ', "is no JSON"),
        ("c.json", "[1]", "holds no table"),
        ("c.ini", "a=1", "unknown kind of config file"),
        ("c.json", '{"command": "teach", "config": {}}', "`ftcot teach`, not of `ftcot train`"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        read_config_file(tmp_path / name, "train")
    assert str(tmp_path / name) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_config_file(tmp_path / "none.json", "train")
