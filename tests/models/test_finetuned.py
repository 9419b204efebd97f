import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune_cot.artifacts.students import Student, write_student
from finetune_cot.errors import ModelError
from finetune_cot.models.finetuned import load_finetuned, student_of
from finetune_cot.models.loading import load_model
from finetune_cot.training.lora import add_lora
from finetune_cot.training.weights import save_weights
from tests.tiny_models import write_llama

pytestmark = pytest.mark.models

ADAPTER = "adapter_model.safetensors"


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(5, 25)[None]
    target = {"labels": ids} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        return torch.as_tensor(model(input_ids=ids, **target).logits)


def trained_lora(base: Path, folder: Path) -> torch.Tensor:
    """Write an adapter with random B; returns its logits."""
    loaded = load_model(str(base), device="cpu")
    model = add_lora(
        loaded.model, base_name=loaded.base_name, rank=4, alpha=32.0, dropout=0.0, targets=None, seed=0
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    folder.mkdir(parents=True)
    save_weights(model, folder)
    return logits(model.eval())


def student(base: Path, method: str) -> Student:
    return Student(str(base), "data", method, method, "ft_cot_token", {"0": "checkpoints/x_run_0"}, 3)


@pytest.fixture
def llama_adapter(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    trained_lora(tiny_llama_dir, tmp_path / "adapter")
    return tmp_path / "adapter"


def edit_weights(adapter: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(adapter / ADAPTER)
    change(weights)
    save_file(weights, adapter / ADAPTER)


@pytest.mark.parametrize("base", ["tiny_llama_dir", "tiny_gpt2_dir", "tiny_t5_dir"])
@pytest.mark.parametrize("merged", [True, False])
def test_an_adapter_gives_what_was_trained(
    base: str, merged: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base_folder = request.getfixturevalue(base)
    expected = trained_lora(base_folder, tmp_path / "adapter")
    found = load_finetuned(tmp_path / "adapter", merged=merged, device="cpu")
    assert found.base_name == str(base_folder)
    # A random T5, whose attention is not scaled, makes much of rounding.
    largest = float(expected.abs().max())
    torch.testing.assert_close(logits(found.model), expected, rtol=1e-4, atol=2e-3 * largest)
    assert not torch.allclose(logits(load_model(str(base_folder), device="cpu").model), expected, atol=0.01)


def test_a_checkpoint_is_its_last_weights(tiny_llama_dir: Path, tmp_path: Path) -> None:
    expected = trained_lora(tiny_llama_dir, tmp_path / "x_run_0" / "last")
    loaded = load_finetuned(tmp_path / "x_run_0", model_key=str(tiny_llama_dir), device="cpu")
    torch.testing.assert_close(logits(loaded.model), expected, rtol=1e-4, atol=1e-4)


def test_a_whole_model_takes_the_tokenizer_of_its_base(tiny_llama_dir: Path, tmp_path: Path) -> None:
    loaded = load_model(str(tiny_llama_dir), device="cpu")
    with torch.no_grad():
        loaded.model.model.norm.weight.mul_(2)
    checkpoint = tmp_path / "x_run_0"
    (checkpoint / "last").mkdir(parents=True)
    save_weights(loaded.model, checkpoint / "last")
    write_student(checkpoint / "student.json", student(tiny_llama_dir, "full"))
    found = load_finetuned(checkpoint, device="cpu")
    torch.testing.assert_close(logits(found.model), logits(loaded.model))
    assert found.tokenizer("the apple").input_ids == loaded.tokenizer("the apple").input_ids
    (checkpoint / "student.json").unlink()
    with pytest.raises(ModelError, match="holds no tokenizer"):
        load_finetuned(checkpoint, device="cpu")


def test_the_student_is_found_from_within_the_checkpoint(tiny_llama_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "x_run_0" / "epochs" / "epoch_001").mkdir(parents=True)
    expected = student(tiny_llama_dir, "lora")
    write_student(tmp_path / "x_run_0" / "student.json", expected)
    assert student_of(tmp_path / "x_run_0" / "epochs" / "epoch_001") == expected
    assert student_of(tmp_path) is None


def test_an_adapter_of_a_wider_model(tmp_path: Path, llama_adapter: Path) -> None:
    wider = write_llama(tmp_path / "wider" / "tiny-llama", hidden_size=64)
    with pytest.raises(ModelError, match=r"an adapter of another model than .*: \d+ of another shape"):
        load_finetuned(llama_adapter, model_key=str(wider), device="cpu")


def test_an_adapter_of_a_model_of_the_same_shape(tmp_path: Path, llama_adapter: Path) -> None:
    other = write_llama(tmp_path / "other-llama", seed=7)
    with pytest.raises(ModelError, match=r"trained on .*tiny-llama, not .*other-llama"):
        load_finetuned(llama_adapter, model_key=str(other), device="cpu")


def test_an_adapter_of_another_family(tiny_gpt2_dir: Path, llama_adapter: Path) -> None:
    config = json.loads((llama_adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(tiny_gpt2_dir)
    (llama_adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as error:
        load_finetuned(llama_adapter, device="cpu")
    assert "\n" not in str(error.value)


def test_a_missing_key(llama_adapter: Path) -> None:
    edit_weights(llama_adapter, lambda weights: weights.pop(min(weights)))  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match="1 missing, such as base_model"):
        load_finetuned(llama_adapter, device="cpu")


def test_a_left_over_key(llama_adapter: Path) -> None:
    edit_weights(llama_adapter, lambda weights: weights.update({"layer.lora_A.weight": torch.zeros(4, 8)}))
    with pytest.raises(ModelError, match=r"1 left over, such as layer\.lora_A\.weight"):
        load_finetuned(llama_adapter, device="cpu")


def test_torn_weights(llama_adapter: Path) -> None:
    path = llama_adapter / ADAPTER
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ModelError, match="torn") as error:
        load_finetuned(llama_adapter, device="cpu")
    assert str(path) in str(error.value)


def test_half_a_configuration(llama_adapter: Path) -> None:
    path = llama_adapter / "adapter_config.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(ModelError, match="torn or no JSON"):
        load_finetuned(llama_adapter, device="cpu")


def test_a_whole_model_with_a_left_over_weight(tiny_llama_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama_dir, tmp_path / "llama"))
    weights = load_file(folder / "model.safetensors")
    save_file(
        {**weights, "model.extra.weight": torch.zeros(3)}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelError, match=r"model\.extra\.weight"):
        load_finetuned(folder, device="cpu")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no fine-tuned model is there"):
        load_finetuned(tmp_path / "missing", device="cpu")
    with pytest.raises(ModelError, match="neither a checkpoint, nor an adapter, nor a model"):
        load_finetuned(tmp_path, device="cpu")


def test_merging_is_exact_before_the_precision_is_lowered(tiny_llama_dir: Path, llama_adapter: Path) -> None:
    exact = load_finetuned(llama_adapter, device="cpu").model.to(torch.bfloat16)
    lowered = load_finetuned(llama_adapter, precision="bf16-true", device="cpu")
    assert lowered.precision == "bf16-true"
    torch.testing.assert_close(logits(lowered.model), logits(exact), rtol=0, atol=0)
