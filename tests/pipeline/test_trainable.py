"""The second road with bottleneck adapters and with chosen layers, and what tells these from each other."""

from pathlib import Path
from typing import Any

import pytest

from finetune_cot.batches.collation import collate
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.config.training import AdapterOptions
from finetune_cot.errors import ArtifactError, ModelError, UsageError
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.trainable import encode_parts, trained_part
from finetune_cot.training.loss import mean_sample_losses
from tests.adapters_library import with_adapters
from tests.pipeline.methods import ADAPTER, LAYERS, METHODS, TRAINING, three_tasks

pytestmark = pytest.mark.models


@pytest.fixture
def options(tmp_path: Path, wide_model_dirs: dict[str, Path]) -> dict[str, Any]:
    return three_tasks(tmp_path, wide_model_dirs["llama"])


@pytest.mark.parametrize(("part", "name"), METHODS)
def test_the_checkpoint_loads_and_is_trained_further(
    part: dict[str, Any], name: str, options: dict[str, Any]
) -> None:
    trained = train(TrainConfig(**options, **part, **TRAINING))
    loaded = load_finetuned(trained.checkpoint, device="cpu")
    data, config = read_training_data(TrainConfig(**options)), TrainConfig(**options)
    dev = encode_parts(divide(data, config), data.template, config.max_length, loaded).dev
    losses = mean_sample_losses(loaded.model, collate(dev, loaded.tokenizer.pad_token_id))
    assert losses.mean().item() == pytest.approx(trained.dev_loss, rel=1e-5)
    further = {**options, **part, "load_model_dir": trained.checkpoint, "save_name": "further"}
    again = train(TrainConfig(**further, **TRAINING, train_key="further"))
    assert again.trainable_parameters == trained.trainable_parameters
    assert (again.train_loss or 0) < (trained.train_loss or 0)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ({"method": "full", "train_layers": ("layers.1",)}, {"train_layers": ("layers?1",)}),
        pytest.param(ADAPTER, {"non_linearity": "gelu"}, marks=with_adapters),
    ],
)
def test_a_store_of_another_part_is_refused(
    part: dict[str, Any], other: dict[str, Any], options: dict[str, Any]
) -> None:
    options |= {**part, "project_dim": 16}
    grads(GradsConfig(**options))
    with pytest.raises(ArtifactError, match=r"was made with another adapter \(.*, not .*\)"):
        grads(GradsConfig(**options | other))


def test_a_meta_training_of_other_layers_is_refused(options: dict[str, Any]) -> None:
    checkpoint = train(TrainConfig(**options, **LAYERS, **TRAINING)).checkpoint
    options |= {"load_model_dir": checkpoint, "method": "full", "project_dim": 16}
    with pytest.raises(
        ModelError, match=r"is frozen here, and another than the model's; give .*--train-layers"
    ):
        grads(GradsConfig(**options, train_layers=("q_proj",)))
    grads(GradsConfig(**options))  # all of its weights train here


@with_adapters
@pytest.mark.parametrize("command", ["train", "grads", "sample-truth"])
@pytest.mark.parametrize("methods", [("lora", "adapter"), ("adapter", "lora")])
def test_an_adapter_of_another_kind_is_refused(
    command: str, methods: tuple[str, str], options: dict[str, Any]
) -> None:
    first, second = methods
    checkpoint = train(TrainConfig(**options, **TRAINING, method=first)).checkpoint
    options |= {"method": second, "load_model_dir": checkpoint}
    run: dict[str, Any] = {
        "train": lambda: train(TrainConfig(**options)),
        "grads": lambda: grads(GradsConfig(**options)),
        "sample-truth": lambda: sample_truth(SampleTruthConfig(**options)),
    }
    before = set(options["saved_dir"].rglob("*"))
    with pytest.raises(UsageError, match=f"which is trained further with --method {first}"):
        run[command]()
    assert set(options["saved_dir"].rglob("*")) == before


@with_adapters
def test_an_adapter_of_other_options_is_refused(options: dict[str, Any]) -> None:
    checkpoint = train(TrainConfig(**options, **ADAPTER, **TRAINING)).checkpoint
    options |= {**ADAPTER, "load_model_dir": checkpoint, "non_linearity": "gelu"}
    further = {**options, "save_name": "b", "train_key": "b"}
    for run in (lambda: grads(GradsConfig(**options)), lambda: train(TrainConfig(**further))):
        with pytest.raises(ModelError, match="trained with --non-linearity relu, not gelu"):
            run()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train_layers": ("q_proj",)}, "--train-layers: chooses among the model's own layers"),
        ({"method": "full", "train_layers": ("nope",)}, "no layer of this model is called nope"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(
    changes: dict[str, Any], told: str, options: dict[str, Any]
) -> None:
    for run in (
        lambda: train(TrainConfig(**options, **changes)),
        lambda: grads(GradsConfig(**options, **changes)),
    ):
        with pytest.raises(UsageError, match=told):
            run()
    assert not options["saved_dir"].exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "lora r 4 alpha 32 on usual"),
        ({"lora_targets": ("q_proj", "v_proj"), "lora_alpha": 8.5}, "lora r 4 alpha 8.5 on q_proj,v_proj"),
        ({"method": "full"}, "full"),
        ({"method": "full", "train_layers": ("*.q_proj", "norm")}, "full on *.q_proj,norm"),
        ({"method": "adapter", "mh_adapter": False}, "bottleneck relu rf 16 after output"),
        ({"method": "adapter"}, "bottleneck relu rf 16 after attention and output"),
    ],
)
def test_what_stores_say_of_the_trained_part(changes: dict[str, Any], text: str) -> None:
    """Stores are compared by these words: to change them makes all that are there foreign."""
    assert trained_part(AdapterOptions(**changes)) == text
