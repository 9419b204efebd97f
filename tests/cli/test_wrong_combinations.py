"""Ways of training that cannot be: one line each, before a model is loaded or anything written."""

import json
import os
import sys
from pathlib import Path

import pytest

from finetune_cot.artifacts.checkpoints import LAST
from tests.adapters_library import with_adapters, without_adapters
from tests.cli.command_lines import Capture, run, told
from tests.glue_files import write_glue
from tests.pipeline.methods import three_tasks

pytestmark = pytest.mark.models


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def train(tmp_path: Path, saved_dir: Path, wide_model_dirs: dict[str, Path]) -> list[str]:
    """A command line that could train."""
    data = three_tasks(tmp_path, "")["data_path"]
    model = ["--model-key", str(wide_model_dirs["llama"])]
    return ["train", *model, "--data-path", data, "--epochs", "1", "--saved-dir", str(saved_dir)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--precision 16-true", "--precision: 16-true needs a GPU: a CPU has bfloat16"),
        ("--precision 16-mixed", "--precision: 16-mixed needs a GPU"),
        ("--precision transformer-engine", "--precision: transformer-engine needs an NVIDIA GPU"),
        ("--method qlora --precision 64-true", "layers in 4 bits cannot compute in 64-true"),
        ("--optimizer paged_adamw_8bit", "needs a GPU, whose memory it pages"),
        ("--lora-targets nope", "--lora-targets: no module of this model is called nope; its modules are"),
        ("--method full --train-layers nope", "no layer of this model"),
        ("--train-layers last-1", "--train-layers: chooses among the model's own layers"),
        ("--method full --use-qlora", "--use-qlora: contradicts --method full"),
        ("--strategy fsdp", "--strategy fsdp: divides a training between several devices; see --devices"),
        ("--boost 1", "--boost: boosts an ensemble; give --groups"),
    ],
)
def test_what_cannot_be_trained(
    words: str, message: str, train: list[str], capsys: Capture, saved_dir: Path
) -> None:
    assert message in told(capsys, saved_dir, [*train, "--devices", "cpu", *words.split()], 2)


def test_more_devices_than_there_are(
    train: list[str], capsys: Capture, saved_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    message = told(capsys, saved_dir, [*train, "--devices", "8"], 2)
    assert "--devices: 8 devices are asked for; this machine has 2 GPUs" in message
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    message = told(capsys, saved_dir, [*train, "--devices", "8"], 2)
    assert "8 devices are asked for; this machine has no GPU, and 2 cores" in message


@pytest.mark.parametrize("command", ["train", "grads", "sample-truth"])
def test_4_bits_without_bitsandbytes(
    command: str, train: list[str], capsys: Capture, saved_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    words = [word for word in train[1:] if word not in ("--epochs", "1")]
    message = told(capsys, saved_dir, [command, *words, "--method", "qlora"], 2)
    assert "--method qlora: needs the package bitsandbytes, which is not installed" in message


@without_adapters
@pytest.mark.parametrize("words", ["--method adapter", "--train-adapter", "--train-adapter --use-qadapter"])
def test_bottleneck_adapters_beside_transformers_5(
    words: str, train: list[str], capsys: Capture, saved_dir: Path
) -> None:
    message = told(capsys, saved_dir, [*train, *words.split()], 2)
    assert "an environment of its own" in message
    assert "pip install 'finetune-cot[adapters]'" in message


def test_an_adapter_of_another_kind(train: list[str], capsys: Capture, saved_dir: Path) -> None:
    folder = saved_dir / "elsewhere"
    folder.mkdir()
    described = {"config": {"mh_adapter": True}, "model_class": "LlamaForCausalLM", "name": "x"}
    (folder / "adapter_config.json").write_text(json.dumps(described))
    message = told(capsys, saved_dir, [*train, "--load-model-dir", folder], 2)
    assert "holds a bottleneck adapter, which is trained further with --method adapter" in message


def test_an_adapter_of_another_model(
    train: list[str], capsys: Capture, saved_dir: Path, wide_model_dirs: dict[str, Path]
) -> None:
    checkpoint = Path(run(capsys, *train)["checkpoint"])
    further = ["--model-key", wide_model_dirs["gpt2"], "--load-model-dir", checkpoint, "--save-name", "b"]
    message = told(capsys, saved_dir, [*train, *further], 1)
    assert "an adapter of another model: trained on" in message
    message = told(capsys, saved_dir, ["export-hf", "--no-merged", "--saved-dir", saved_dir, *further[:2]], 1)
    assert "there is no such checkpoint to export: --model-key" in message
    weights = checkpoint / LAST
    message = told(capsys, saved_dir, [*train, "--method", "full", "--load-model-dir", weights], 2)
    assert "holds an adapter of PEFT, which is trained further with --method lora" in message


@with_adapters
@pytest.mark.parametrize("method", ["adapter", "qadapter"])
def test_a_t5_that_classifies_takes_no_bottleneck(
    method: str, tmp_path: Path, capsys: Capture, saved_dir: Path, wide_model_dirs: dict[str, Path]
) -> None:
    data = ["--dataset-key", "glue/sst2", "--data-dir", write_glue(tmp_path / "data", ("sst2",))]
    words = ["train", "--model-key", wide_model_dirs["t5"], "--method", method, "--devices", "cpu", *data]
    message = told(capsys, saved_dir, [*words, "--saved-dir", saved_dir], 1)
    assert "--method: the adapters library takes the whole model for the head of a T5" in message


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("--train-lora", "lora_r_4"),
        ("--train-lora --use-qlora", "lora_r_4_qlora"),
        pytest.param("--train-adapter", "adapter_rf_16", marks=with_adapters),
        pytest.param("--train-adapter --use-qadapter", "adapter_rf_16_qadapter", marks=with_adapters),
    ],
)
def test_flags_of_older_scripts(words: str, name: str, train: list[str], capsys: Capture) -> None:
    planned = run(capsys, *train, *words.split(), "--dry-run")
    assert Path(planned["checkpoint"]).name.endswith(f"_{name}_run_0")
