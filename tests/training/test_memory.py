"""The memory that a training is said to need, beside what a real pass keeps and what a process takes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from finetune_cot.batches.collation import collate
from finetune_cot.config.train import TrainConfig
from finetune_cot.config.training import QUANTIZED_METHODS
from finetune_cot.models.loading import load_model, sketch_model
from finetune_cot.pipeline.trainable import begin_training
from finetune_cot.training import memory
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.memory import MemoryEstimate, estimate_memory
from finetune_cot.training.settings import TrainingSettings
from tests.adapters_library import with_adapters
from tests.training.conftest import samples

pytestmark = pytest.mark.models

ROOT = Path(__file__).resolve().parents[2]
METHODS = [
    *("lora", "qlora", "full"),
    pytest.param("adapter", marks=with_adapters),
    pytest.param("qadapter", marks=with_adapters),
]


def estimated(
    config: TrainConfig, examples: list[Any], *, program: int = 0, file: int = 0, **settings: Any
) -> MemoryEstimate:
    with torch.device("meta"):
        sketch = sketch_model(config.model_key, config.precision, None)
        model = begin_training(sketch.model, config, "base")
    how = TrainingSettings(epochs=1, lr=1.0, batch_size=len(examples), precision=config.precision, **settings)
    quantized = config.method in QUANTIZED_METHODS
    return estimate_memory(
        model,
        examples,
        [],
        sketch.tokenizer.pad_token_id,
        how,
        quantized=quantized,
        program=program,
        file=file,
    )


def kept(model: Any, batch: Any) -> int:
    """Bytes that autograd keeps of a real pass, weights left out."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    storages: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        sample_losses(model.train(), batch)
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_activations_are_those_of_a_real_pass(
    family: str, method: str, wide_model_dirs: dict[str, Path]
) -> None:
    if (family, method) == ("gpt2", "qadapter"):
        pytest.skip("the adapters library cannot do this")
    folder = str(wide_model_dirs[family])
    loaded = load_model(folder, device="cpu", quantized=method in QUANTIZED_METHODS)
    examples = samples(loaded, 6)
    config = TrainConfig(model_key=folder, method=method)
    found = estimated(config, examples)
    model = begin_training(loaded.model, config, "base")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert found.trainable_parameters == sum(parameter.numel() for parameter in trained)
    assert found.gradients == 4 * found.trainable_parameters
    assert found.optimizer == 2 * found.gradients
    real = kept(model, collate(examples, loaded.tokenizer.pad_token_id))
    assert found.activations == pytest.approx(real, rel=0.05)
    held = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
    assert found.weights == pytest.approx(held, rel=0.05)


def test_what_saves_memory_is_said_to(wide_model_dirs: dict[str, Path]) -> None:
    folder = str(wide_model_dirs["llama"])
    examples = samples(load_model(folder, device="cpu"), 6)
    plain = estimated(TrainConfig(model_key=folder), examples)
    recomputing = estimated(TrainConfig(model_key=folder), examples, gradient_checkpointing=True)
    assert recomputing.activations < plain.activations
    assert recomputing.weights == plain.weights
    in_4_bits = estimated(TrainConfig(model_key=folder, method="qlora"), examples)
    assert in_4_bits.weights < plain.weights
    full = TrainConfig(model_key=folder, method="full")
    adamw = estimated(full, examples)
    assert estimated(full, examples, optimizer="sgd").optimizer == 0
    assert estimated(full, examples, optimizer="adamw_8bit").optimizer < adamw.optimizer / 2


def test_the_program_and_what_glibc_keeps_are_counted_too(
    wide_model_dirs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(wide_model_dirs["llama"])
    examples = samples(load_model(folder, device="cpu"), 6)
    monkeypatch.setattr(memory, "is_kept", lambda: False)
    exact = estimated(TrainConfig(model_key=folder), examples)
    assert exact.gaps == 0
    monkeypatch.setattr(memory, "is_kept", lambda: True)
    kept_too = estimated(TrainConfig(model_key=folder), examples)
    assert kept_too.gaps == round(0.6 * kept_too.activations)  # all tensors are small
    assert kept_too.total == exact.total + kept_too.gaps
    assert estimated(TrainConfig(model_key=folder), examples, device="cuda:0").gaps == 0


def test_loading_a_model_into_other_numbers_can_need_most(wide_model_dirs: dict[str, Path]) -> None:
    folder = str(wide_model_dirs["llama"])
    examples = samples(load_model(folder, device="cpu"), 6)
    in_4_bits = TrainConfig(model_key=folder, method="qlora")
    found = estimated(in_4_bits, examples, program=10**9, file=10**9)
    assert found.total == 2 * 10**9 + found.weights
    plain = estimated(TrainConfig(model_key=folder), examples)
    as_it_is = estimated(TrainConfig(model_key=folder), examples, program=10**9, file=plain.weights)
    assert as_it_is.total == plain.total + 10**9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="another C library keeps other memory")
@pytest.mark.parametrize("batch_size", [4, 8])
@pytest.mark.parametrize("method", METHODS)
def test_the_peak_of_the_embedded_model_is_within_15_percent(method: str, batch_size: int) -> None:
    script = ROOT / "tests" / "benchmarks" / "memory.py"
    given = ["--rounds", "1", "--ways", f"method={method},batch_size={batch_size}"]
    ran = subprocess.run([sys.executable, str(script), *given], stdout=subprocess.PIPE, text=True, check=True)
    (found,) = json.loads(ran.stdout)["ways"].values()
    assert found["estimated_over_peak"] == pytest.approx(1, abs=0.15)
    assert found["dev_loss"] < found["dev_loss_before"]
