"""QLoRA adapters as whole models, on either base, and by themselves."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError
from finetune_cot.models.export import load_exported, probe_logits
from finetune_cot.models.finetuned import load_finetuned, with_adapter
from finetune_cot.models.loading import load_model
from finetune_cot.pipeline.export_hf import ExportHfResult, export_hf
from finetune_cot.pipeline.train import train
from tests.pipeline.methods import QLORA, TRAINING, three_tasks

pytestmark = pytest.mark.models


@pytest.fixture
def options(tmp_path: Path, wide_model_dirs: dict[str, Path]) -> dict[str, Any]:
    return three_tasks(tmp_path, wide_model_dirs["gpt2"]) | QLORA


def export(options: dict[str, Any], **how: Any) -> ExportHfResult:
    return export_hf(ExportHfConfig(saved_dir=options["saved_dir"], **how))


def test_merged_into_the_original_base(options: dict[str, Any]) -> None:
    trained = train(TrainConfig(**options, **TRAINING))
    original = export(options, merge_base="original")
    base = load_model(options["model_key"], device="cpu")
    expected = with_adapter(base, trained.checkpoint / "last", merged=True)
    model, tokenizer = load_exported(original.path, None)
    for one, other in zip(
        probe_logits(model, tokenizer), probe_logits(expected.model, expected.tokenizer), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert original.loss_before == pytest.approx(trained.dev_loss, rel=1e-4)
    assert original.loss_after != pytest.approx(original.loss_before, rel=1e-4)
    assert export(options, merge_base="original").reused
    with pytest.raises(ArtifactError, match="another export is there"):
        export(options)
    dequantized = export(options, overwrite=True)
    assert dequantized.loss_after == pytest.approx(original.loss_before, rel=1e-4)


def test_the_loss_is_not_measured_on_other_data(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    train(TrainConfig(**options, **TRAINING))
    data = Path(options["data_path"])
    data.write_text(data.read_text().replace("double", "twice"))
    exported = export(options)
    assert (exported.loss_before, exported.loss_after) == (None, None)
    assert "no dev loss is measured" in capsys.readouterr().err
    data.unlink()
    assert export(options, overwrite=True).loss_after is None
    assert "the dev set of the training is not there" in capsys.readouterr().err


def test_the_adapter_by_itself_is_put_on_the_same_base(options: dict[str, Any]) -> None:
    trained = train(TrainConfig(**options, **TRAINING))
    exported = export(options, merged=False)
    assert (exported.max_logit_difference or 0) < 1e-2
    first, second = (load_finetuned(folder, device="cpu") for folder in (trained.checkpoint, exported.path))
    assert any(type(layer).__name__ == "Linear4bit" for layer in second.model.modules())
    for one, other in zip(
        probe_logits(first.model, first.tokenizer), probe_logits(second.model, second.tokenizer), strict=True
    ):
        assert torch.equal(one, other)
