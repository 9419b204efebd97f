"""Texts that are classified, from training to estimates, by each way of training."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_cot.artifacts.gradient_store import open_store
from finetune_cot.artifacts.results import read_results
from finetune_cot.batches.collation import collate
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.options import replace
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.models.naming import weight_name
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.evaluate import EvaluateResult, evaluate
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.trainable import encode_parts, load_trainable
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.weights import trainable_weights
from tests.adapters_library import with_adapters
from tests.glue_files import write_glue

pytestmark = pytest.mark.models

METHODS = [
    pytest.param({"lora_rank": 2}, id="lora"),
    pytest.param({"method": "full"}, id="full"),
    pytest.param({"method": "adapter", "reduction_factor": 4.0}, id="adapter", marks=with_adapters),
]
TRAINING: dict[str, Any] = {"epochs": 4, "lr": 3e-3, "batch_size": 8}
BOTH = "glue/sst2+glue/rte"


@pytest.fixture
def options(tmp_path: Path, tiny_llama_dir: Path) -> dict[str, Any]:
    return {
        "model_key": str(tiny_llama_dir),
        "dataset_key": BOTH,
        "dev_fraction": 0.25,
        "devices": ("cpu",),
        "data_dir": write_glue(tmp_path / "data", ("sst2", "rte")),
        "saved_dir": tmp_path / "saved",
    }


def measured(options: dict[str, Any], task: str, **named: Any) -> EvaluateResult:
    known = {name: options[name] for name in ("data_dir", "saved_dir", "model_key")}
    named = named or {"finetune_key": BOTH, "train_key": options.get("method", "lora")}
    return evaluate(EvaluateConfig(**known, dataset_key=f"glue/{task}", **named, device="cpu"))


@pytest.mark.parametrize("base", ["tiny_llama_dir", "tiny_bert_dir"])
@pytest.mark.parametrize("method", METHODS)
def test_every_command(
    method: dict[str, Any], base: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    options |= {**method, "model_key": str(request.getfixturevalue(base))}
    trained = train(TrainConfig(**options, **TRAINING))
    assert set(trained.dev_loss_by_task) == {"sst2", "rte"}
    metrics = trained.runs[0].dev_metrics_by_epoch
    assert [set(of) for of in metrics] == 4 * [{"sst2_accuracy", "rte_accuracy"}]
    assert trained.dev_metrics == metrics[-1]

    found = measured(options, "sst2")
    assert (found.n, found.metrics) == (8, {"accuracy": found.accuracy})
    assert found.correct == round(found.n * found.accuracy)
    assert measured(options, "sst2").reused == 8
    assert measured(options, "sst2", load_model_dir=trained.checkpoint).path == found.path

    merged = method.get("method") != "adapter"
    exported = export_hf(ExportHfConfig(saved_dir=options["saved_dir"], merged=merged))
    assert exported.max_logit_difference == pytest.approx(0, abs=1e-4)
    again = measured(options, "sst2", load_model_dir=exported.path)
    assert (again.n, again.correct) == (8, found.correct)

    taken = grads(GradsConfig(**options, project_dim=0, store_dtype="float32", points=("meta",)))
    assert taken.parameters == trained.trainable_parameters
    assert set(taken.slow_layers) <= {"Embedding"}  # of places and of token types, looked up once for a batch
    store = open_store(taken.path)
    expected, losses = one_by_one(GradsConfig(**options), trained.checkpoint)
    features = store.features(slice(None), 0)[store.is_dev]
    errors = np.linalg.norm(features - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert errors.max() < 1e-4
    assert losses.mean() == pytest.approx(trained.dev_loss, rel=1e-5)

    subsets: dict[str, Any] = {"number_of_subsets": 2, "subset_size": "1"}
    truth = sample_truth(SampleTruthConfig(**options, **TRAINING, **subsets))
    estimated = estimate(EstimateConfig(**options, **subsets, project_dim=0, evaluate="forward"))
    for path in (truth.results_path, estimated.results_path):
        rows = read_results(path)
        assert [sorted(row.loss_by_task) for row in rows] == 2 * [["rte", "sst2"]]
        assert all(math.isfinite(row.loss) for row in rows)


def one_by_one(given: GradsConfig, checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the dev samples' losses by autograd, and the losses, at the end of the training."""
    data = read_training_data(given)
    model, loaded = load_trainable(replace(given, load_model_dir=checkpoint), "cpu", data.labels)
    names = sorted(trainable_weights(model))
    weights = {weight_name(name): value for name, value in model.named_parameters()}
    model.eval()
    rows, losses = [], []
    for example in encode_parts(divide(data, given), data.template, given.max_length, loaded).dev:
        total, _ = sample_losses(model, collate([example], loaded.tokenizer.pad_token_id))
        found = torch.autograd.grad(total.sum(), [weights[name] for name in names])
        rows.append(torch.cat([grad.flatten() for grad in found]).numpy())
        losses.append(total.item())
    return np.stack(rows), np.array(losses)
