import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_cot.artifacts.gradient_store import open_store, shard_path
from finetune_cot.batches.collation import collate
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, ModelError, UsageError
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.trainable import encode_parts
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.weights import trainable_weights

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> dict[str, Any]:
    """Options of a meta-training that is done; its checkpoint is not to be changed."""
    folder = tmp_path_factory.mktemp("grads")
    rows = [
        {"prompt": f"{task} {number}\n", "completion": f"{number * factor}", "skill": task}
        for factor, task in enumerate(("double", "once", "triple"), start=1)
        for number in range(8)
    ]
    (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "model_key": str(tiny_llama_dir),
        "data_path": str(folder / "tasks.jsonl"),
        "dev_fraction": 0.25,
        "devices": ("cpu",),
        "lora_rank": 2,
        "saved_dir": folder / "saved",
    }
    result = train(TrainConfig(**options, epochs=2, lr=0.01, keep_epochs=True))
    return {**options, "load_model_dir": result.checkpoint}


def config(options: dict[str, Any], saved_dir: Path, **changes: Any) -> GradsConfig:
    return GradsConfig(**{**options, "saved_dir": saved_dir, "store_dtype": "float32", **changes})


def test_exact_gradients_are_those_of_autograd(options: dict[str, Any], saved_dir: Path) -> None:
    given = config(options, saved_dir, project_dim=0, points=("meta", "epoch_1"))
    result = grads(given)
    store = open_store(result.path)
    assert [result.samples, result.dim] == [24, result.parameters]
    assert [int(store.is_dev.sum()), store.header.points] == [6, ("meta", "epoch_1")]
    loaded = load_finetuned(given.load_model_dir, model_key=given.model_key, merged=False)
    for name, weight in loaded.model.named_parameters():
        weight.requires_grad_("lora_" in name)
    data = read_training_data(given)
    examples = encode_parts(divide(data, given), data.template, given.max_length, loaded)
    names = sorted(trainable_weights(loaded.model))
    weights = {name.replace(".default.", "."): weight for name, weight in loaded.model.named_parameters()}
    for place, example in enumerate(examples.dev):
        losses, tokens = sample_losses(loaded.model, collate([example], 0))
        expected = torch.autograd.grad((losses / tokens).sum(), [weights[name] for name in names])
        flat = torch.cat([grad.flatten() for grad in expected]).numpy()
        row = len(examples.train) + place
        assert store.sample_index[row] == example.sample_index
        assert store.header.tasks[store.task[row]] == example.task
        assert store.losses[row, 0] == pytest.approx((losses / tokens).item(), rel=1e-5)
        found = store.features(slice(row, row + 1), 0)[0]
        assert np.linalg.norm(found - flat) < 1e-4 * np.linalg.norm(flat)


def test_points_lie_where_they_say(options: dict[str, Any], saved_dir: Path) -> None:
    names = ("pretrained", "0.5", "meta", "epoch_2")
    store = open_store(grads(config(options, saved_dir, project_dim=64, points=names)).path)
    assert not store.displacement[0].any()
    np.testing.assert_allclose(store.displacement[1] * 2, store.displacement[2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(store.displacement[3], store.displacement[2], rtol=1e-6)
    np.testing.assert_allclose(store.losses[:, 3], store.losses[:, 2], rtol=1e-6)
    assert store.losses[:, 2].mean() < store.losses[:, 0].mean()


def test_batches_do_not_show(options: dict[str, Any], saved_dir: Path, tmp_path: Path) -> None:
    points = ("pretrained", "0.5", "meta")
    changes: dict[str, Any] = {"project_dim": 64, "points": points}
    one = open_store(grads(config(options, saved_dir, batch_tokens=1, **changes)).path)
    other = open_store(grads(config(options, tmp_path / "b", shard_samples=7, **changes)).path)
    for point in range(len(points)):
        expected = one.features(slice(None), point)
        found = other.features(slice(None), point)
        assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


def test_a_resumed_store_is_that_of_an_undisturbed_run(
    options: dict[str, Any], saved_dir: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"project_dim": 32, "shard_samples": 5}
    whole = grads(config(options, saved_dir, **changes))
    bytes_of = {
        path.name: path.read_bytes() for path in sorted(whole.path.rglob("*.safetensors")) if path.is_file()
    }
    shard_path(whole.path, 1).unlink()
    shard_path(whole.path, 2).write_bytes(b"torn")
    again = grads(config(options, saved_dir, **changes))
    assert again.reused_samples == 14
    assert {path.name: path.read_bytes() for path in again.path.rglob("*.safetensors")} == bytes_of
    assert grads(config(options, saved_dir, **changes)).reused_samples == 24


def test_a_store_of_something_else_is_refused(options: dict[str, Any], saved_dir: Path) -> None:
    grads(config(options, saved_dir, project_dim=32))
    with pytest.raises(ArtifactError, match="training samples"):
        grads(config(options, saved_dir, project_dim=32, downsample=0.5))
    assert grads(config(options, saved_dir, project_dim=32, downsample=0.5, overwrite=True)).samples < 24


def test_without_a_meta_training_the_pretrained_model_is_taken(
    options: dict[str, Any], saved_dir: Path
) -> None:
    given = config(options, saved_dir, project_dim=16, load_model_dir=None)
    result = grads(given)
    assert result.path.name.endswith("_dim_16_run_0_pretrained")
    assert result.points == ("pretrained",)
    with pytest.raises(UsageError, match="meta needs a meta-training, and there is none"):
        grads(config(options, saved_dir, load_model_dir=None, points=("meta",)))


def test_the_checkpoint_of_the_same_options_is_found(options: dict[str, Any]) -> None:
    given = GradsConfig(**{**options, "load_model_dir": None}, project_dim=16, dry_run=True)
    result = grads(given)
    assert result.points == ("0.5",)
    assert not result.path.exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"points": ("half",)}, UsageError, "--points: 'half' is no point"),
        ({"points": ("1.5",)}, UsageError, "no point"),
        ({"points": ("epoch_9",)}, ArtifactError, "epoch_009: no such weights were kept"),
        ({"points": ("meta",), "compute_pretrained_outputs": True}, UsageError, "contradicts"),
        ({"lora_alpha": 8.0}, ModelError, "trained with alpha 32.0, not 8; give --lora-alpha 32"),
        ({"lora_rank": 4}, ModelError, "weights of another model or adapter"),
        ({"load_model_dir": Path("nowhere")}, ModelError, "no fine-tuned model is there"),
    ],
)
def test_what_cannot_be_is_told(
    options: dict[str, Any], saved_dir: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        grads(config(options, saved_dir, **changes))


def test_fewer_samples(options: dict[str, Any], saved_dir: Path) -> None:
    result = grads(config(options, saved_dir, project_dim=16, num_batches_gradients=2, batch_size=3))
    store = open_store(result.path)
    assert int((~store.is_dev).sum()) == 6
