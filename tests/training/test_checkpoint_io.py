"""Checkpoints are safetensors and JSON, whole or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_cot.errors import ArtifactError, ModelError
from finetune_cot.training.checkpoint_io import STATE_FILE, TENSORS_FILE, SafetensorsCheckpointIO
from finetune_cot.training.weights import read_weights, save_tensors, set_trainable_weights

pytestmark = pytest.mark.models


def state() -> dict[str, Any]:
    moments = {0: {"step": torch.tensor(3.0), "exp_avg": torch.arange(6.0).view(2, 3).T}, 1: {}}
    return {
        "epoch": 2,
        "loops": {"fit": {"ready": 4, "last": None, "done": True}},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 0.1 + 0.2, "betas": [0.9, 0.999]}]}],
        "best": float("inf"),
    }


def save(folder: Path, value: dict[str, Any]) -> None:
    SafetensorsCheckpointIO().save_checkpoint({**value, "write_weights": lambda _: None}, folder)


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    save(tmp_path / "last", state())
    found = SafetensorsCheckpointIO().load_checkpoint(tmp_path / "last")
    assert found.pop("folder") == tmp_path / "last"
    assert same(found, state())
    assert {path.name for path in tmp_path.rglob("*")} == {"last", STATE_FILE, TENSORS_FILE}


def test_a_failure_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    save(tmp_path / "last", state())

    def fail(folder: Path) -> None:
        save_tensors({"a": torch.zeros(2)}, folder / "nowhere" / "weights.safetensors")

    with pytest.raises(ArtifactError, match=r"cannot be written: .*; the last checkpoint is kept"):
        SafetensorsCheckpointIO().save_checkpoint({"epoch": 3, "write_weights": fail}, tmp_path / "last")
    assert SafetensorsCheckpointIO().load_checkpoint(tmp_path / "last")["epoch"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("name", [STATE_FILE, TENSORS_FILE])
def test_a_torn_file_is_named(name: str, tmp_path: Path) -> None:
    save(tmp_path / "last", state())
    file = tmp_path / "last" / name
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=name):
        SafetensorsCheckpointIO().load_checkpoint(tmp_path / "last")


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    good = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
    set_trainable_weights(model, good)
    assert torch.equal(model.weight, good["weight"])
    wrong = [{"weight": good["weight"]}, {**good, "more": torch.ones(1)}, {**good, "bias": torch.ones(3)}]
    for weights in wrong:
        with pytest.raises(ModelError, match="weights of another model or adapter: 1 differ, such as"):
            set_trainable_weights(model, weights)
    with pytest.raises(ArtifactError, match="holds no weights"):
        read_weights(tmp_path)
