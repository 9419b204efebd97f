import json
import shutil
from pathlib import Path

import pytest
import torch

from finetune_cot.errors import ModelError, UsageError
from finetune_cot.models.loading import autocast_dtype, load_model, pick_device, weights_dtype

pytestmark = pytest.mark.models


@pytest.fixture
def llama_copy(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama_dir, tmp_path / "llama"))


def test_decoder_is_ready_to_generate(tiny_llama_dir: Path) -> None:
    loaded = load_model(str(tiny_llama_dir), device="cpu")
    assert loaded.model_type == "decoder"
    assert loaded.base_name == str(tiny_llama_dir)
    assert loaded.device == torch.device("cpu")
    assert loaded.tokenizer.pad_token == "</s>"
    assert not loaded.model.training
    assert loaded.model.dtype == torch.float32


def test_t5_is_an_encoder_decoder(tiny_t5_dir: Path) -> None:
    assert load_model(str(tiny_t5_dir), device="cpu").model_type == "encoder_decoder"


@pytest.mark.parametrize(
    ("precision", "weights", "computing"),
    [
        ("32-true", torch.float32, None),
        ("bf16-true", torch.bfloat16, None),
        ("16-true", torch.float16, None),
        ("64-true", torch.float64, None),
        ("bf16-mixed", torch.float32, torch.bfloat16),
        ("bf16", torch.float32, torch.bfloat16),
        ("16-mixed", torch.float32, torch.float16),
        ("32", torch.float32, None),
    ],
)
def test_precision_names(precision: str, weights: torch.dtype, computing: torch.dtype | None) -> None:
    assert weights_dtype(precision) == weights
    assert autocast_dtype(precision) == computing


def test_weights_have_the_precision(tiny_gpt2_dir: Path) -> None:
    assert load_model(str(tiny_gpt2_dir), precision="bf16-true", device="cpu").model.dtype == torch.bfloat16


def test_author_settings_are_left_out(llama_copy: Path) -> None:
    settings = {"temperature": 0.1, "top_p": 0.3, "repetition_penalty": 9.0, "do_sample": True}
    path = llama_copy / "generation_config.json"
    path.write_text(json.dumps({**settings, "eos_token_id": [1, 5], "bos_token_id": 0}))
    config = load_model(str(llama_copy), device="cpu").model.generation_config
    assert config.eos_token_id == [1, 5]
    assert config.repetition_penalty in (None, 1.0)
    assert config.top_p in (None, 1.0)
    assert not config.do_sample


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no device 'cuda:99'"):
        pick_device("cuda:99")
    with pytest.raises(UsageError, match="--device"):
        pick_device("abacus")
    assert pick_device("cpu") == torch.device("cpu")


def test_torn_weights_are_named(llama_copy: Path) -> None:
    path = llama_copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="torn"):
        load_model(str(llama_copy), device="cpu")


def test_a_missing_weight_is_an_error(llama_copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = llama_copy / "model.safetensors"
    weights = load_file(path)
    del weights["model.norm.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 of .* missing, such as model\.norm\.weight"):
        load_model(str(llama_copy), device="cpu")


def test_a_kind_of_model_that_cannot_generate(llama_copy: Path) -> None:
    config = json.loads((llama_copy / "config.json").read_text())
    (llama_copy / "config.json").write_text(json.dumps({**config, "model_type": "abacus"}))
    with pytest.raises(ModelError, match="cannot be loaded") as error:
        load_model(str(llama_copy), device="cpu")
    assert "\n" not in str(error.value)


def test_a_folder_without_tokenizer(llama_copy: Path) -> None:
    for path in llama_copy.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(llama_copy), device="cpu")
