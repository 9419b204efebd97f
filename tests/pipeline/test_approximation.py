import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_cot.artifacts.gradient_store import open_store
from finetune_cot.batches.collation import collate
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.report import ReportConfig
from finetune_cot.estimation.estimates import EstimatorSettings
from finetune_cot.estimation.features import load_features
from finetune_cot.estimation.gradex import gradex_steps
from finetune_cot.gradients.per_sample import per_sample_gradients
from finetune_cot.gradients.projection import Projection, Projector
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.pipeline.approximation import task_draws
from finetune_cot.pipeline.grads import GradsResult, grads
from finetune_cot.pipeline.report import report
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.trainable import encode_parts
from finetune_cot.training.weights import set_trainable_weights, trainable_weights
from tests.estimation.made_up_features import made_up
from tests.pipeline.second_road import POINTS, second_road

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> dict[str, Any]:
    """Options of a meta-training that is done."""
    return second_road(tmp_path_factory.mktemp("approximation"), tiny_llama_dir, true_runs=False)


def checked(options: dict[str, Any], **changes: Any) -> tuple[GradsResult, dict[str, Any]]:
    result = grads(GradsConfig(**{**options, "check_approximation": True, **changes}))
    return result, json.loads((result.path / "approximation.json").read_text())


def test_errors_are_those_of_a_loop_over_samples(options: dict[str, Any]) -> None:
    given: dict[str, Any] = {"project_dim": 0, "store_dtype": "float32", "points": ("meta",)}
    result, told = checked(options, **given)
    assert [told["samples"], told["point"]] == [result.samples, "meta"]
    config = GradsConfig(**options, **given)
    taken = load_features(open_store(result.path), [0])
    theta = gradex_steps(taken, 0, task_draws(taken, config.seed), EstimatorSettings())[3]
    loaded = load_finetuned(
        next((options["saved_dir"] / "checkpoints").iterdir()), model_key=config.model_key, merged=False
    )
    model = loaded.model
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name)
    start = {name: weight.clone() for name, weight in trainable_weights(model).items()}
    norm = np.sqrt(sum(float(weight.pow(2).sum()) for weight in start.values()))
    projector = Projector(Projection("none", 0, 0), {name: w.shape for name, w in start.items()}, "cpu")
    step = 0.04 * norm * theta / np.linalg.norm(theta)
    delta = projector.lift(torch.from_numpy(step))
    data = read_training_data(config)
    found = encode_parts(divide(data, config), data.template, config.max_length, loaded)
    with_gradient, without = [], []
    for example in (*found.train, *found.dev):
        batch = collate([example], 0)
        set_trainable_weights(model, start)
        at_start = per_sample_gradients(model, batch, projector, "margin")
        set_trainable_weights(model, {name: weight + delta[name] for name, weight in start.items()})
        moved = per_sample_gradients(model, batch, projector, "margin").margins.item()
        still, slope = at_start.margins.item(), at_start.features[0].numpy() @ step
        scale = max(abs(still), abs(moved))
        with_gradient.append(((still + slope - moved) / scale) ** 2)
        without.append(((still - moved) / scale) ** 2)
    assert told["distances"][1] == 0.04
    assert told["with_gradient"][1][3] == pytest.approx(np.mean(with_gradient), rel=1e-3)
    assert told["without_gradient"][1][3] == pytest.approx(np.mean(without), rel=1e-3)


def test_what_the_gradient_leaves_is_of_second_order(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_cot.pipeline.approximation.DISTANCES", (0.002, 0.004))
    result, told = checked(options, project_dim=0, points=("meta",), overwrite=True)
    short, double = result.approximation
    assert [short.distance, short.with_gradient] == [0.002, pytest.approx(np.mean(told["with_gradient"][0]))]
    assert short.with_gradient < short.without_gradient / 10
    # Errors are squared.
    assert double.without_gradient == pytest.approx(2**2 * short.without_gradient, rel=0.2)
    assert double.with_gradient == pytest.approx(4**2 * short.with_gradient, rel=0.3)


def test_it_is_measured_of_a_store_that_is_there(options: dict[str, Any]) -> None:
    _, first = checked(options, project_dim=256, points=POINTS)
    again, told = checked(options, project_dim=256, points=POINTS)
    assert again.reused_samples == again.samples
    assert told == first
    assert checked(options, project_dim=256, points=POINTS, approximation_samples=5)[1]["samples"] == 5


def test_the_report_shows_it(options: dict[str, Any]) -> None:
    checked(options, project_dim=256, points=POINTS)
    result = report(ReportConfig(saved_dir=options["saved_dir"]))
    assert "approximation_error.csv" in {table.name for table in result.tables}
    assert any(figure.name.startswith("approximation_error") for figure in result.figures)


def test_directions_are_of_three_quarters_of_the_tasks() -> None:
    draws = task_draws(made_up(tasks=8).features(), seed=0)
    assert [len(draw) for draw in draws] == [6] * 5
    assert len(set(draws)) > 1
    assert draws == task_draws(made_up(tasks=8).features(), seed=0)
    assert task_draws(made_up(tasks=1).features(), seed=0) == [(0,)] * 5
