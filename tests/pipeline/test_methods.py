"""Every method of fine-tuning on every road, for decoders, encoder-decoders and classifiers."""

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
from finetune_cot.config.select import SelectConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.config.training import BOTTLENECK_METHODS
from finetune_cot.models.naming import weight_name
from finetune_cot.models.registry import DEFAULT_MODEL_KEY
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.evaluate import evaluate
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.select import select
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.train_result import TrainResult
from finetune_cot.pipeline.trainable import encode_parts, load_trainable
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.weights import trainable_weights
from tests.pipeline.methods import (
    ADAPTED,
    CLASSIFIERS,
    CLASSIFYING,
    METHODS,
    TRAINING,
    ask_classifier,
    three_tasks,
    two_glue_tasks,
)

pytestmark = pytest.mark.models


def one_by_one(given: GradsConfig, checkpoint: Path) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the dev samples' losses by autograd, and the losses, at the end of the meta-training."""
    data = read_training_data(given)
    model, loaded = load_trainable(replace(given, load_model_dir=checkpoint), "cpu", data.labels)
    names = sorted(trainable_weights(model))
    weights = {weight_name(name): weight for name, weight in model.eval().named_parameters()}
    rows, losses = [], []
    for example in encode_parts(divide(data, given), data.template, given.max_length, loaded).dev:
        total, tokens = sample_losses(model, collate([example], loaded.tokenizer.pad_token_id))
        found = torch.autograd.grad((total / tokens).sum(), [weights[name] for name in names])
        rows.append(torch.cat([grad.flatten() for grad in found]).numpy())
        losses.append((total / tokens).item())
    return np.stack(rows), np.array(losses)


@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize(("part", "name"), METHODS)
def test_from_training_to_estimates(
    part: dict[str, Any], name: str, family: str, tmp_path: Path, wide_model_dirs: dict[str, Path]
) -> None:
    go_every_road(three_tasks(tmp_path, wide_model_dirs[family]), part, name, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "name"), ADAPTED)
def test_the_embedded_model_from_training_to_estimates(
    part: dict[str, Any], name: str, tmp_path: Path
) -> None:
    go_every_road(three_tasks(tmp_path, DEFAULT_MODEL_KEY), part, name, 1e-3)


def go_every_road(options: dict[str, Any], part: dict[str, Any], name: str, tolerance: float) -> None:
    """Train, take gradients, measure the truth, estimate, evaluate and export."""
    options = options | part
    trained = train(TrainConfig(**options, **TRAINING))
    assert trained.checkpoint.name.endswith(name)
    result = grads(GradsConfig(**options, project_dim=0, store_dtype="float32", points=("meta",)))
    assert result.parameters == trained.trainable_parameters
    check_gradients(options, result.path, trained, tolerance)
    truth = sample_truth(SampleTruthConfig(**options, **TRAINING, number_of_subsets=2, subset_size="2"))
    assert [math.isfinite(row.loss) for row in read_results(truth.results_path)] == [True, True]
    estimated = estimate(EstimateConfig(**options, project_dim=0, number_of_subsets=2, subset_size="2"))
    rows = read_results(estimated.results_path)
    assert [row.task_indices for row in rows] == [
        row.task_indices for row in read_results(truth.results_path)
    ]
    assert all(math.isfinite(row.loss) for row in rows)
    chosen = select(SelectConfig(**options, project_dim=0, target_task="once", num_tasks=1))
    assert len(chosen.selected) == 1
    measured = evaluate(
        EvaluateConfig(
            load_model_dir=trained.checkpoint,
            dataset_key="bundled_coin_flip",
            completion_key="ft_token",
            limit=2,
            max_reasoning_tokens=4,
            saved_dir=options["saved_dir"],
            device="cpu",
        )
    )
    assert measured.generated == measured.n == 2
    merged = part["method"] not in BOTTLENECK_METHODS
    named = {name: options[name] for name in ("model_key", "data_path", "method", "saved_dir")}
    exported = export_hf(ExportHfConfig(**named, merged=merged))
    assert (exported.max_logit_difference or 0) < 1e-2
    if part["method"] == "qlora":
        assert exported.loss_before == pytest.approx(trained.dev_loss, rel=1e-4)
        assert exported.loss_after == pytest.approx(exported.loss_before, rel=1e-4)


@pytest.mark.parametrize(("base", "part"), CLASSIFIERS)
def test_classifiers_from_training_to_estimates(
    base: str, part: dict[str, Any], tmp_path: Path, wide_model_dirs: dict[str, Path]
) -> None:
    options = two_glue_tasks(tmp_path, wide_model_dirs[base]) | part
    trained = train(TrainConfig(**options, **CLASSIFYING))
    assert set(trained.dev_loss_by_task) == {"sst2", "rte"}
    metrics = trained.runs[0].dev_metrics_by_epoch
    assert [set(of) for of in metrics] == 4 * [{"sst2_accuracy", "rte_accuracy"}]
    assert trained.dev_metrics == metrics[-1]

    found = ask_classifier(options, "sst2")
    assert (found.n, found.metrics) == (8, {"accuracy": found.accuracy})
    assert found.correct == round(found.n * found.accuracy)
    assert ask_classifier(options, "sst2").reused == 8
    assert ask_classifier(options, "sst2", load_model_dir=trained.checkpoint).path == found.path

    is_bottleneck = part["method"] in BOTTLENECK_METHODS
    export = ExportHfConfig(saved_dir=options["saved_dir"], merged=not is_bottleneck)
    exported = export_hf(export)
    assert (exported.max_logit_difference or 0) < 1e-2
    again = ask_classifier(options, "sst2", load_model_dir=exported.path)
    assert (again.n, again.correct) == (8, found.correct)
    if part["method"] == "qlora":
        assert exported.loss_before == pytest.approx(trained.dev_loss, rel=1e-4)
        assert exported.loss_after == pytest.approx(exported.loss_before, rel=1e-4)
        apart = export_hf(replace(export, merged=False, overwrite=True))
        assert (apart.max_logit_difference or 0) < 1e-2

    taken = grads(GradsConfig(**options, project_dim=0, store_dtype="float32", points=("meta",)))
    assert taken.parameters == trained.trainable_parameters
    assert set(taken.slow_layers) <= {"Embedding"}  # of places and of token types, looked up once for a batch
    check_gradients(options, taken.path, trained, 1e-3)

    chosen = select(SelectConfig(**options, project_dim=0, target_task="rte", num_tasks=1))
    assert len(chosen.selected) == 1
    subsets: dict[str, Any] = {"number_of_subsets": 2, "subset_size": "1"}
    truth = sample_truth(SampleTruthConfig(**options, **CLASSIFYING, **subsets))
    estimated = estimate(EstimateConfig(**options, **subsets, project_dim=0, evaluate="forward"))
    for path in (truth.results_path, estimated.results_path):
        rows = read_results(path)
        assert [sorted(row.loss_by_task) for row in rows] == 2 * [["rte", "sst2"]]
        assert all(math.isfinite(row.loss) for row in rows)


def check_gradients(options: dict[str, Any], taken: Path, trained: TrainResult, tolerance: float) -> None:
    """Gradients and losses in a store are those of samples taken one by one."""
    store = open_store(taken)
    expected, losses = one_by_one(GradsConfig(**options), trained.checkpoint)
    found = store.features(slice(None), 0)[store.is_dev]
    errors = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert errors.max() < tolerance
    np.testing.assert_allclose(store.losses[store.is_dev, 0], losses, rtol=tolerance / 10)
    assert losses.mean() == pytest.approx(trained.dev_loss, rel=tolerance / 10)
