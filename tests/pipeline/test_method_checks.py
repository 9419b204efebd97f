"""What cannot be trained is told in one line before anything is written, and what older flags mean."""

import sys
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.select import SelectConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.select import select
from finetune_cot.pipeline.train import train
from tests.adapters_library import with_adapters, without_adapters
from tests.pipeline.methods import three_tasks

pytestmark = pytest.mark.models


@pytest.fixture
def options(tmp_path: Path, wide_model_dirs: dict[str, Path]) -> dict[str, Any]:
    return three_tasks(tmp_path, wide_model_dirs["llama"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "full", "train_lora": True}, "--train-lora: contradicts --method full"),
        ({"method": "full", "use_qlora": True}, "--use-qlora: contradicts --method full"),
        ({"method": "adapter", "use_qadapter": True}, "--use-qadapter: contradicts --method adapter"),
        ({"train_lora": True, "train_adapter": True}, "--train-adapter: contradicts --train-lora"),
        ({"use_qlora": True, "use_qadapter": True}, "--use-qadapter: contradicts --use-qlora"),
        ({"precision": "16-true"}, "--precision: 16-true needs a GPU"),
        ({"method": "qlora", "precision": "64-true"}, "layers in 4 bits cannot compute in 64-true"),
        (
            {"optimizer": "paged_adamw_8bit"},
            "--optimizer paged_adamw_8bit: needs a GPU, whose memory it pages",
        ),
        ({"method": "qlora", "lora_targets": ("nope",)}, "no module of this model is called nope"),
        ({"method": "full", "train_layers": ("lm_head",), "freeze_head": True}, "leaves nothing to train"),
    ],
)
def test_what_cannot_be_trained(given: dict[str, Any], told: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=told):
        train(TrainConfig(**options, **given))
    assert not options["saved_dir"].exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"method": "qlora"}, r"--method qlora: needs the package bitsandbytes.*'finetune-cot\[quant\]'"),
        ({"optimizer": "adamw_8bit"}, "--optimizer adamw_8bit: needs the package bitsandbytes"),
    ],
)
def test_a_missing_package(
    given: dict[str, Any], told: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for run in (
        lambda: train(TrainConfig(**options, **given)),
        lambda: sample_truth(SampleTruthConfig(**options, **given)),
    ):
        with pytest.raises(UsageError, match=told):
            run()
    assert not options["saved_dir"].exists()


@without_adapters
@pytest.mark.parametrize("method", ["adapter", "qadapter"])
def test_a_missing_adapters_library(method: str, options: dict[str, Any]) -> None:
    for run in (
        lambda: train(TrainConfig(**options, method=method)),
        lambda: grads(GradsConfig(**options, method=method)),
    ):
        with pytest.raises(UsageError, match=rf"--method {method}: .*pip install 'finetune-cot\[adapters\]'"):
            run()
    assert not options["saved_dir"].exists()


@with_adapters
def test_gpt2_in_4_bits_takes_no_bottleneck(tmp_path: Path, wide_model_dirs: dict[str, Path]) -> None:
    options = three_tasks(tmp_path, wide_model_dirs["gpt2"])
    with pytest.raises(ModelError, match="--method: the adapters library cannot adapt a gpt2 in 4 bits"):
        train(TrainConfig(**options, method="qadapter"))
    assert not options["saved_dir"].exists()


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (("train_lora",), "lora_r_4"),
        (("train_lora", "use_qlora"), "lora_r_4_qlora"),
        (("use_qlora",), "lora_r_4_qlora"),
    ],
)
def test_flags_of_older_scripts(flags: tuple[str, ...], name: str, options: dict[str, Any]) -> None:
    planned = train(TrainConfig(**options, **dict.fromkeys(flags, True), dry_run=True))
    assert planned.checkpoint.name.endswith(f"llama_{name}_run_0")


def test_flags_of_older_scripts_on_the_second_road(options: dict[str, Any]) -> None:
    by_flag, by_name = ({**options, "use_qlora": True}, {**options, "method": "qlora"})
    train(TrainConfig(**by_name, epochs=1))
    taken = grads(GradsConfig(**by_flag, project_dim=16))
    assert grads(GradsConfig(**by_name, project_dim=16)).path == taken.path
    assert "_qlora_" in taken.path.name
    subsets: dict[str, Any] = {"number_of_subsets": 2, "subset_size": "2"}
    assert "_qlora_" in str(estimate(EstimateConfig(**by_flag, **subsets, project_dim=16)).results_path)
    assert "_qlora_" in str(select(SelectConfig(**by_flag, **subsets, project_dim=16)).path)
    truth = sample_truth(SampleTruthConfig(**by_flag, **subsets, dry_run=True))
    assert "_qlora" in str(truth.results_path)
    with pytest.raises(UsageError, match="--use-qlora: contradicts --method full"):
        grads(GradsConfig(**by_flag | {"method": "full"}))


@pytest.mark.parametrize(("method", "other"), [("qlora", "lora"), ("lora", "qlora")])
def test_an_adapter_of_another_base(method: str, other: str, options: dict[str, Any]) -> None:
    """Adapters of PEFT say nothing of the base model's number format, and would load on either."""
    checkpoint = train(TrainConfig(**options, method=method, epochs=1)).checkpoint
    further = {**options, "method": other, "load_model_dir": checkpoint}
    for run in (
        lambda: train(TrainConfig(**further, save_name="b", train_key="b")),
        lambda: grads(GradsConfig(**further)),
        lambda: sample_truth(SampleTruthConfig(**further)),
    ):
        with pytest.raises(UsageError, match=f"which is trained further with --method {method}"):
            run()


def test_a_base_to_merge_into_is_of_qlora(options: dict[str, Any]) -> None:
    train(TrainConfig(**options, epochs=1))
    with pytest.raises(UsageError, match="--merge-base: is about merging an adapter that was trained on a"):
        export_hf(ExportHfConfig(saved_dir=options["saved_dir"], merge_base="original"))
