"""Every family of models on both roads: trained, evaluated, exported, its losses estimated."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from finetune_cot.artifacts.results import read_results
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.evaluate import evaluate
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.train import train
from tests.gradients.families import CONFIGS, FAMILIES
from tests.tiny_models import write_tokenizer

pytestmark = pytest.mark.models

SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def write_family(folder: Path, family: str) -> Path:
    """A tiny random model of a family with a tokenizer."""
    config = CONFIGS[family]()
    config.vocab_size = write_tokenizer(folder, SPECIAL)
    for name in ("max_position_embeddings", "n_positions"):
        if hasattr(config, name):
            setattr(config, name, 256)
    kind: Any = transformers.AutoModelForCausalLM
    if config.is_encoder_decoder:
        kind = transformers.AutoModelForSeq2SeqLM
    torch.manual_seed(0)
    kind.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_from_training_to_estimates(family: str, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"{task} {number}\n", "completion": f"{number * factor}", "skill": task}
        for factor, task in enumerate(("once", "double"), start=1)
        for number in range(4)
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {
        "model_key": str(write_family(tmp_path / family, family)),
        "data_path": str(tmp_path / "tasks.jsonl"),
        "saved_dir": tmp_path / "saved",
        "dev_fraction": 0.25,
        "devices": ("cpu",),
    }
    trained = train(TrainConfig(**options, epochs=1, lr=0.01))
    assert trained.dev_loss is not None
    assert trained.estimated_memory_bytes
    exported = export_hf(ExportHfConfig(saved_dir=options["saved_dir"]))
    assert (exported.max_logit_difference or 0) < 1e-2
    for folder in (trained.checkpoint, exported.path):
        measured = evaluate(
            EvaluateConfig(
                load_model_dir=folder,
                dataset_key="bundled_coin_flip",
                completion_key="ft_token",
                limit=1,
                max_reasoning_tokens=2,
                saved_dir=options["saved_dir"],
                device="cpu",
            )
        )
        assert measured.generated == 1
    taken = grads(GradsConfig(**options, project_dim=16))
    assert taken.parameters == trained.trainable_parameters
    assert taken.slow_layers == ()
    estimated = estimate(EstimateConfig(**options, project_dim=16, number_of_subsets=1, subset_size="1"))
    assert all(math.isfinite(row.loss) for row in read_results(estimated.results_path))
