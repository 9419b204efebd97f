import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_cot.artifacts.manifest import read_manifest, verify_outputs
from finetune_cot.artifacts.students import Student, read_student, write_student
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.options import build
from finetune_cot.errors import ArtifactError, FtcotError, ModelError, UsageError
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.models.generation import GenerationSettings, generate
from finetune_cot.models.loading import load_model
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.training.bottleneck import Bottleneck, add_bottleneck
from finetune_cot.training.lora import add_lora
from finetune_cot.training.weights import save_weights
from tests.adapters_library import with_adapters

pytestmark = pytest.mark.models

BASES = ("tiny_llama_dir", "tiny_gpt2_dir", "tiny_t5_dir")


def train(base: Path, saved_dir: Path, name: str = "data_tiny_run_0", method: str = "lora") -> Path:
    """A checkpoint as `train` leaves it, with weights that differ from the base."""
    loaded = load_model(str(base), device="cpu")
    model: Any = loaded.model
    if method == "adapter":
        bottleneck = Bottleneck(True, True, reduction_factor=4, non_linearity="relu")
        model = add_bottleneck(model, bottleneck, base_name=loaded.base_name, seed=0)
    if method == "lora":
        model = add_lora(
            model, base_name=loaded.base_name, rank=4, alpha=32.0, dropout=0.0, targets=None, seed=0
        )
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if method == "full" or "lora_B" in parameter_name or "adapter_up" in parameter_name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    checkpoint = saved_dir / "checkpoints" / name
    (checkpoint / "last").mkdir(parents=True)
    save_weights(model, checkpoint / "last")
    student = Student(
        str(base), "data", method, method, "ft_cot_token", {"0": "a", "1": "b"}, training_samples=9
    )
    write_student(checkpoint / "student.json", student)
    return checkpoint


def config(saved_dir: Path, **options: Any) -> ExportHfConfig:
    return build(ExportHfConfig, {"saved_dir": saved_dir, **options})


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def texts(folder: Path) -> list[str]:
    loaded = load_finetuned(folder, device="cpu")
    prompts = ["Question: Ann has 3 apples", "Is the coin"]
    return [item.text for item in generate(loaded, prompts, GenerationSettings(12))]


@pytest.mark.parametrize("base", BASES)
def test_a_merged_model_loads_with_plain_transformers(
    base: str, request: pytest.FixtureRequest, saved_dir: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    base_folder = request.getfixturevalue(base)
    checkpoint = train(base_folder, saved_dir)
    result = export_hf(config(saved_dir))
    assert result.path == saved_dir / "exported_model" / "data_tiny_run_0"
    assert result.merged
    assert result.max_logit_difference is not None
    assert result.max_logit_difference < 0.05
    names = {file.name for file in result.path.iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= names
    assert "adapter_config.json" not in names
    kind: Any = AutoModelForSeq2SeqLM if base == "tiny_t5_dir" else AutoModelForCausalLM
    model, info = kind.from_pretrained(result.path, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.dtype == torch.float32
    tokenizer = AutoTokenizer.from_pretrained(result.path)
    assert tokenizer("an apple").input_ids == AutoTokenizer.from_pretrained(base_folder)("an apple").input_ids
    assert texts(result.path) == texts(checkpoint)


@pytest.mark.parametrize("base", BASES)
def test_an_adapter_loads_with_plain_peft(base: str, request: pytest.FixtureRequest, saved_dir: Path) -> None:
    from peft import AutoPeftModelForCausalLM, AutoPeftModelForSeq2SeqLM

    checkpoint = train(request.getfixturevalue(base), saved_dir)
    result = export_hf(config(saved_dir, merged=False))
    assert not result.merged
    assert result.max_logit_difference == 0
    assert not (result.path / "model.safetensors").exists()
    kind = AutoPeftModelForSeq2SeqLM if base == "tiny_t5_dir" else AutoPeftModelForCausalLM
    assert kind.from_pretrained(str(result.path)).peft_config["default"].r == 4
    assert texts(result.path) == texts(checkpoint)


@with_adapters
@pytest.mark.parametrize("base", BASES)
def test_a_bottleneck_adapter(base: str, request: pytest.FixtureRequest, saved_dir: Path) -> None:
    checkpoint = train(request.getfixturevalue(base), saved_dir, method="adapter")
    with pytest.raises(UsageError, match="cannot be merged into a model; give --no-merged"):
        export_hf(config(saved_dir))
    result = export_hf(config(saved_dir, merged=False))
    assert result.max_logit_difference == 0
    assert texts(result.path) == texts(checkpoint)
    assert export_hf(config(saved_dir, merged=False)).reused


@pytest.mark.parametrize("base", ["tiny_llama_dir", "tiny_t5_dir"])
def test_a_whole_model(base: str, request: pytest.FixtureRequest, saved_dir: Path) -> None:
    checkpoint = train(request.getfixturevalue(base), saved_dir, method="full")
    result = export_hf(config(saved_dir))
    assert result.max_logit_difference == 0
    assert texts(result.path) == texts(checkpoint)
    with pytest.raises(UsageError, match="whole model and no adapter"):
        export_hf(config(saved_dir, merged=False, overwrite=True))


def test_the_configuration_is_the_base_models(tiny_llama_dir: Path, saved_dir: Path) -> None:
    train(tiny_llama_dir, saved_dir)
    result = export_hf(config(saved_dir, dtype="bfloat16"))
    ours, base = (
        json.loads((folder / "config.json").read_text()) for folder in (result.path, tiny_llama_dir)
    )
    assert ours == {**base, "dtype": "bfloat16"}
    assert (result.path / "tokenizer.json").read_bytes() == (tiny_llama_dir / "tokenizer.json").read_bytes()
    from safetensors.torch import load_file

    assert {tensor.dtype for tensor in load_file(result.path / "model.safetensors").values()} == {
        torch.bfloat16
    }


def test_student_and_manifest_go_with_it(tiny_llama_dir: Path, saved_dir: Path) -> None:
    checkpoint = train(tiny_llama_dir, saved_dir)
    result = export_hf(config(saved_dir))
    student = read_student(result.path / "student.json")
    assert (student.finetune_key, student.train_key, student.template) == ("data", "lora", "ft_cot_token")
    assert dict(student.checkpoints) == {"0": "a"}
    manifest = read_manifest(result.path / "manifest.json")
    assert manifest.command == "export-hf"
    assert build(ExportHfConfig, manifest.config) == config(saved_dir)
    assert set(manifest.inputs) == {"adapter_model.safetensors"}
    verify_outputs(result.path, manifest)
    assert result.checkpoint == checkpoint / "last"


def test_weights_other_than_the_last_have_a_name_of_their_own(tiny_llama_dir: Path, saved_dir: Path) -> None:
    checkpoint = train(tiny_llama_dir, saved_dir)
    shutil.copytree(checkpoint / "last", checkpoint / "best")
    shutil.copytree(checkpoint / "last", checkpoint / "epochs" / "epoch_002")
    best = export_hf(config(saved_dir, load_model_dir=checkpoint / "best"))
    assert best.path.name == "data_tiny_best_run_0"
    assert read_student(best.path / "student.json").train_key == "lora_best"
    epoch = export_hf(config(saved_dir, load_model_dir=checkpoint / "epochs" / "epoch_002"))
    assert epoch.path.name == "data_tiny_epoch_002_run_0"
    assert export_hf(config(saved_dir, load_model_dir=checkpoint / "last")).path.name == "data_tiny_run_0"


def test_the_checkpoint_trained_last_is_the_default(tiny_llama_dir: Path, saved_dir: Path) -> None:
    for age, name in ((50, "old_run_0"), (1, "new_run_3"), (90, "oldest_run_0")):
        last = train(tiny_llama_dir, saved_dir, name) / "last"
        os.utime(last, (1e9 - age, 1e9 - age))
    assert export_hf(config(saved_dir, dry_run=True)).path.name == "new_run_3"


def test_twice_is_once(tiny_llama_dir: Path, saved_dir: Path) -> None:
    train(tiny_llama_dir, saved_dir)
    first = export_hf(config(saved_dir))
    before = snapshot(saved_dir)
    second = export_hf(config(saved_dir))
    assert (first.reused, second.reused) == (False, True)
    assert second.max_logit_difference == first.max_logit_difference
    assert snapshot(saved_dir) == before


def test_another_export_is_kept(tiny_llama_dir: Path, saved_dir: Path) -> None:
    train(tiny_llama_dir, saved_dir)
    export_hf(config(saved_dir))
    before = snapshot(saved_dir)
    with pytest.raises(ArtifactError, match="another export is there; give --overwrite"):
        export_hf(config(saved_dir, merged=False))
    assert snapshot(saved_dir) == before
    assert not export_hf(config(saved_dir, merged=False, overwrite=True)).merged
    assert not (saved_dir / "exported_model" / "data_tiny_run_0" / "model.safetensors").exists()


def test_an_edited_export_is_not_taken(tiny_llama_dir: Path, saved_dir: Path) -> None:
    train(tiny_llama_dir, saved_dir)
    path = export_hf(config(saved_dir)).path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="torn or was edited"):
        export_hf(config(saved_dir))


def test_a_dry_run_writes_nothing(tiny_llama_dir: Path, saved_dir: Path) -> None:
    train(tiny_llama_dir, saved_dir)
    before = snapshot(saved_dir)
    result = export_hf(config(saved_dir, dry_run=True))
    assert result.max_logit_difference is None
    assert snapshot(saved_dir) == before


def test_what_goes_wrong_leaves_nothing_behind(tiny_llama_dir: Path, saved_dir: Path) -> None:
    checkpoint = train(tiny_llama_dir, saved_dir)
    weights = checkpoint / "last" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    before = snapshot(saved_dir)
    with pytest.raises(ModelError, match="torn"):
        export_hf(config(saved_dir))
    assert snapshot(saved_dir) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is no checkpoint to export"),
        ({"load_model_dir": "no/such/folder"}, "no checkpoint is there"),
        ({"load_model_dir": "."}, "holds neither an adapter nor a model"),
    ],
)
def test_nothing_to_export(options: dict[str, str], message: str, saved_dir: Path) -> None:
    with pytest.raises(FtcotError, match=message):
        export_hf(config(saved_dir, **options))
    assert not list(saved_dir.iterdir())


@pytest.mark.slow
def test_an_adapter_of_the_embedded_model_names_a_folder(saved_dir: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    loaded = load_model("SmolLM2-135M-Instruct", device="cpu")
    model = add_lora(
        loaded.model, base_name=loaded.base_name, rank=2, alpha=32.0, dropout=0.0, targets=None, seed=0
    )
    last = saved_dir / "checkpoints" / "data_smollm2_run_0" / "last"
    last.mkdir(parents=True)
    save_weights(model, last)
    result = export_hf(config(saved_dir, merged=False))
    assert result.max_logit_difference == 0
    assert AutoPeftModelForCausalLM.from_pretrained(str(result.path)).peft_config["default"].r == 2
    assert load_finetuned(result.path, device="cpu").model_type == "decoder"
    merged = export_hf(config(saved_dir, overwrite=True))
    assert merged.max_logit_difference is not None
    assert merged.max_logit_difference < 1e-3
