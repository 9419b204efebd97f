from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_cot.artifacts.results import read_results, write_results
from finetune_cot.batches.collation import collate
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.errors import ArtifactError, UsageError
from finetune_cot.estimation.features import load_features
from finetune_cot.estimation.gradex import gradex_steps
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.forward import load_stepping_model, losses_after_step
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.taken_gradients import open_gradients
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.trainable import encode_parts
from finetune_cot.training.loss import mean_sample_losses
from tests.pipeline.second_road import POINTS, second_road

pytestmark = pytest.mark.models

TASKS = ("double", "five", "once", "triple", "zero")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> dict[str, Any]:
    """Options of a meta-training and of exact gradients, both done."""
    options = second_road(tmp_path_factory.mktemp("forward"), tiny_llama_dir, true_runs=False)
    grads(GradsConfig(**options, project_dim=0, store_dtype="float32", points=POINTS))
    return options


def config(options: dict[str, Any], **changes: Any) -> EstimateConfig:
    return EstimateConfig(
        **{**options, "number_of_subsets": 4, "subset_size": "2", "evaluate": "forward", **changes}
    )


def tables(config: EstimateConfig) -> tuple[np.ndarray, np.ndarray]:
    """Losses by forward passes, and to first order."""
    path = estimate(config).results_path
    found = [read_results(file) for file in (path, path.with_name("gradex.csv"))]
    forward, linear = ([[row.loss_by_task[task] for task in TASKS] for row in rows] for rows in found)
    return np.array(forward), np.array(linear)


def test_a_step_is_set_into_the_model_as_by_hand(options: dict[str, Any]) -> None:
    given = config(options, project_dim=0, points=("pretrained", "meta"))
    forward, _ = tables(given)
    gradients = open_gradients(given)
    features = load_features(gradients.store, [2])
    subset = read_results(estimate(given).results_path)[1].task_indices
    (theta,) = gradex_steps(features, 0, [subset], gradients.settings)
    checkpoint = next((options["saved_dir"] / "checkpoints").iterdir())
    loaded = load_finetuned(checkpoint, model_key=given.model_key, merged=False)
    names = sorted(name for name, _ in loaded.model.named_parameters() if "lora_" in name)
    place = 0
    for name in names:
        weight = loaded.model.get_parameter(name)
        step = torch.tensor(theta[place : place + weight.numel()]).float().view_as(weight)
        weight.data += step
        place += weight.numel()
    assert place == len(theta)
    data = read_training_data(given)
    dev = encode_parts(divide(data, given), data.template, given.max_length, loaded).dev
    by_task = [
        np.mean(
            [mean_sample_losses(loaded.model, collate([item], 0)).item() for item in dev if item.task == t]
        )
        for t in TASKS
    ]
    np.testing.assert_allclose(forward[1], by_task, rtol=1e-5)


@pytest.mark.parametrize("dim", [0, 256])
def test_short_steps_are_linear(options: dict[str, Any], dim: int) -> None:
    given = config(options, project_dim=dim, points=("meta",), scale=1e-3)
    forward, linear = tables(given)
    gradients = open_gradients(given)
    level = losses_after_step(load_stepping_model(given, gradients), np.zeros(gradients.store.header.width))
    still = np.array([level[task] for task in TASKS])
    moved = np.abs(linear - still).max()
    assert moved > 1e-4
    # A projected step is not along the gradient alone, so that its second order is larger.
    assert np.abs(forward - linear).max() < (0.02 if dim == 0 else 0.2) * moved
    kept = gradients.store
    for number, task in enumerate(TASKS):
        rows = kept.is_dev & (kept.task == kept.header.tasks.index(task))
        assert still[number] == pytest.approx(kept.losses[rows, 2].mean(), rel=1e-5)


def test_the_weights_are_reset_exactly(options: dict[str, Any]) -> None:
    given = config(options, project_dim=256)
    subject = load_stepping_model(given, open_gradients(given))
    one, other = np.random.default_rng(0).normal(size=(2, 256)) / 100
    first = losses_after_step(subject, one)
    assert losses_after_step(subject, other) != first
    assert losses_after_step(subject, one) == first


def test_losses_of_an_interrupted_run_are_kept(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config(options, project_dim=256)
    whole = estimate(given)
    expected = whole.results_path.read_text()
    kept = whole.results_path.with_name("forward") / "gradex.csv"
    rows = read_results(kept)
    marked = [rows[2], rows[0]]
    write_results(kept, marked)
    again = estimate(given)
    assert again.results_path.read_text() == expected
    assert [row.task_indices for row in read_results(kept)] == [
        rows[place].task_indices for place in (2, 0, 1, 3)
    ]
    assert again.seconds > sum(row.seconds or 0 for row in marked)
    monkeypatch.setattr("finetune_cot.pipeline.forward.load_stepping_model", None)
    assert estimate(given).results_path.read_text() == expected
    with pytest.raises(TypeError):
        estimate(config(options, project_dim=256, ridge=1.0))
    assert not kept.exists()


def test_both_kinds_of_steps_lie_beside_scores(options: dict[str, Any]) -> None:
    given = config(options, project_dim=256, estimator=("seed", "cosine", "gradex"))
    assert estimate(given).methods == ("seed-forward", "gradex-forward", "seed", "cosine", "gradex")


def test_gradients_at_the_pretrained_model(options: dict[str, Any]) -> None:
    grads(GradsConfig(**options, project_dim=64, compute_pretrained_outputs=True))
    given = config(options, project_dim=64, compute_pretrained_outputs=True, scale=1e-6)
    forward, linear = tables(given)
    np.testing.assert_allclose(forward, linear, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"estimator": ("cosine",)},
            UsageError,
            "--evaluate forward: cosine takes no step .* gradex or seed",
        ),
        ({"lora_alpha": 16.0}, ArtifactError, "another adapter"),
        ({"max_length": 31}, ArtifactError, "was made with other dev samples; give the same --max-length"),
    ],
)
def test_what_cannot_be_is_told(
    options: dict[str, Any], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        estimate(config(options, **{"project_dim": 256, "ridge": 2.0, **changes}))
