"""Classifiers: their exports, heads and scores, and what they cannot be asked."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_cot.artifacts.gradient_store import open_store
from finetune_cot.cli.main import main
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.report import ReportConfig
from finetune_cot.config.select import SelectConfig
from finetune_cot.config.teach import TeachConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.pipeline.evaluate import evaluate
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.report import report
from finetune_cot.pipeline.select import select
from finetune_cot.pipeline.teach import teach
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.trainable import load_trainable
from finetune_cot.tasks.glue import label_space
from finetune_cot.training.weights import read_weights, saved_weights
from tests.glue_files import ROWS, write_glue, write_rows
from tests.pipeline.methods import CLASSIFYING as TRAINING
from tests.pipeline.methods import ask_classifier, two_glue_tasks

pytestmark = pytest.mark.models


@pytest.fixture
def options(tmp_path: Path, tiny_llama_dir: Path) -> dict[str, Any]:
    return two_glue_tasks(tmp_path, tiny_llama_dir)


@pytest.mark.parametrize("base", ["tiny_llama_dir", "tiny_t5_dir"])
def test_an_export_loads_without_us(
    base: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    """In transformers where it is merged, and else in PEFT on a base with a head of so many labels."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification as Plain

    options |= {"model_key": str(request.getfixturevalue(base)), "dataset_key": "glue/rte"}
    checkpoint = train(TrainConfig(**options, **TRAINING)).checkpoint
    ours = load_finetuned(checkpoint, device="cpu")
    saved = options["saved_dir"]
    model, info = Plain.from_pretrained(
        export_hf(ExportHfConfig(saved_dir=saved)).path, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert model.config.id2label == {0: "entailment", 1: "not_entailment"}
    adapter = export_hf(ExportHfConfig(saved_dir=saved, merged=False, overwrite=True)).path
    plain = PeftModel.from_pretrained(Plain.from_pretrained(options["model_key"], num_labels=2), adapter)
    ids = ours.tokenizer("Ann has 3 apples.", return_tensors="pt").input_ids
    expected = ours.model(input_ids=ids).logits
    for other in (model, plain):
        torch.testing.assert_close(other.eval()(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)


def test_a_frozen_head_is_kept_with_the_adapter(options: dict[str, Any]) -> None:
    options |= {"freeze_head": True, "lora_rank": 2}
    trained = train(TrainConfig(**options, **TRAINING))
    free = train(
        TrainConfig(**{**options, "freeze_head": False, "save_name": "b", "train_key": "b"}, **TRAINING)
    )
    head = 4 * 32  # two labels of each task, from a width of 32
    assert trained.trainable_parameters == (free.trainable_parameters or 0) - head
    model, _ = load_trainable(TrainConfig(**options), "cpu", label_space(["sst2", "rte"]))
    drawn = saved_weights(model)["base_model.model.score.weight"]
    kept, moved = (read_weights(of.checkpoint / "last") for of in (trained, free))
    torch.testing.assert_close(kept["base_model.model.score.weight"], drawn)
    assert not torch.equal(moved["base_model.model.score.weight"], drawn)
    assert ask_classifier(options, "sst2").n == 8
    assert grads(GradsConfig(**options, project_dim=8)).parameters == trained.trainable_parameters


def test_it_is_trained_further(options: dict[str, Any]) -> None:
    first = train(TrainConfig(**options, **TRAINING))
    further = {**options, "load_model_dir": first.checkpoint, "save_name": "b", "train_key": "b"}
    second = train(TrainConfig(**further, **TRAINING))
    assert second.trainable_parameters == first.trainable_parameters
    assert (second.train_loss or 0) < (first.train_loss or 0)
    with pytest.raises(ModelError, match="holds a classifier of rte, sst2, not a classifier of sst2"):
        train(TrainConfig(**{**further, "dataset_key": "glue/sst2"}, **TRAINING))


def test_scores(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """STS-B: squared errors, correlations in place of accuracy, and gradients of the loss alone."""
    write_glue(options["data_dir"], ("stsb",))
    options |= {"dataset_key": "glue/stsb+glue/sst2", "data_dir": options["data_dir"]}
    trained = train(TrainConfig(**options, **{**TRAINING, "epochs": 8, "lr": 1e-2}))
    assert set(trained.dev_metrics) == {"stsb_pearson", "stsb_spearman", "sst2_accuracy"}
    found = ask_classifier(options, "stsb", finetune_key="glue-stsb+glue-sst2")
    assert (found.n, found.ungradable, set(found.metrics)) == (0, 8, {"pearson", "spearman"})
    scores = [float(item["completion"]) for [item] in json.loads(found.path.read_text())["data"].values()]
    assert all(math.isfinite(score) for score in scores)
    with pytest.raises(UsageError, match="--train-gradient: stsb asks for a score, which has no margin"):
        grads(GradsConfig(**options))
    taken = open_store(grads(GradsConfig(**options, project_dim=16, train_gradient="loss")).path)
    assert np.isfinite(taken.losses).all()
    arguments = ["--dataset-key", "glue/stsb", "--load-model-dir", str(trained.checkpoint)]
    folders = ["--data-dir", str(options["data_dir"]), "--saved-dir", str(options["saved_dir"])]
    capsys.readouterr()
    assert main(["evaluate", *arguments, *folders, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["accuracy"], told["metrics"]) == (None, pytest.approx(dict(found.metrics)))


def test_both_validation_parts_of_mnli(options: dict[str, Any]) -> None:
    """The other one is measured on by the same classifier, under a name of its own, and never trained on."""
    folder = write_glue(options["data_dir"], ("mnli",)) / "glue" / "mnli"
    options |= {"dataset_key": "glue/mnli"}
    write_rows(folder / "validation_mismatched.jsonl", [ROWS["mnli"](number) for number in range(9)])
    train(TrainConfig(**options, **{**TRAINING, "epochs": 1}))
    matched, other = (
        ask_classifier(options, task, finetune_key="glue/mnli") for task in ("mnli", "mnli_mismatched")
    )
    assert (matched.n, other.n, set(other.metrics)) == (8, 9, {"accuracy"})
    assert (matched.dataset, other.dataset) == ("glue-mnli", "glue-mnli_mismatched")
    for key in ("glue/mnli_mismatched", "glue/mnli+glue/mnli_mismatched"):
        with pytest.raises(UsageError, match="mnli_mismatched is measured on alone; train on glue/mnli"):
            train(TrainConfig(**options | {"dataset_key": key}))


def test_groups_of_samples_keep_their_own_labels(options: dict[str, Any]) -> None:
    grads(GradsConfig(**options, project_dim=16))
    grouped = select(SelectConfig(**options, project_dim=16, group_by="cluster", num_clusters=3))
    trained = train(TrainConfig(**options, **TRAINING, task_groups=grouped.task_groups))
    assert set(trained.dev_loss_by_task) <= {"cluster_00", "cluster_01", "cluster_02"}
    assert set(trained.dev_metrics) == {"sst2_accuracy", "rte_accuracy"}


def test_it_is_reported(options: dict[str, Any]) -> None:
    train(TrainConfig(**options, **TRAINING))
    found = ask_classifier(options, "rte")
    made = report(ReportConfig(data_dir=options["data_dir"], saved_dir=options["saved_dir"]))
    written = made.report_md.read_text()
    assert "glue-rte" in written
    assert f"{100 * found.accuracy:.1f}" in written


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"template": "ft_token"}, "--template: texts that are classified have a form of their own"),
        ({"dataset_key": "glue/rte+gsm8k"}, "--dataset-key: gsm8k is no task of GLUE"),
        ({"dataset_key": "glue/sst"}, "GLUE has no task 'sst'; did you mean glue/sst2"),
    ],
)
def test_a_training_that_cannot_be(changes: dict[str, Any], told: str, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=told):
        train(TrainConfig(**{**options, **changes}))
    assert not options["saved_dir"].exists()


def test_who_can_be_asked_what(options: dict[str, Any], tiny_llama_dir: Path) -> None:
    checkpoint = train(TrainConfig(**{**options, "dataset_key": "glue/sst2"}, **TRAINING)).checkpoint
    before = set(options["saved_dir"].rglob("*"))
    known = {"data_dir": options["data_dir"], "saved_dir": options["saved_dir"], "device": "cpu"}
    ours = {"load_model_dir": checkpoint}
    base = {"model_key": str(tiny_llama_dir)}
    for asked, what in (
        ({**base, "dataset_key": "glue/sst2"}, "this model is no classifier, and cannot be asked glue-sst2"),
        ({**ours, "dataset_key": "glue/rte"}, "this model classifies sst2, and cannot be asked glue-rte"),
        ({**ours, "dataset_key": "bundled"}, "this model classifies sst2, and cannot be asked bundled"),
        ({**ours, "dataset_key": "glue/sst2", "completion_key": "zs"}, "answer classify; leave it out"),
    ):
        with pytest.raises(UsageError, match=what):
            evaluate(EvaluateConfig(**known, **asked))
    with pytest.raises(UsageError, match="glue-sst2 is to be classified"):
        teach(TeachConfig(**known, **base, dataset_key="glue/sst2"))
    assert set(options["saved_dir"].rglob("*")) == before


@pytest.mark.slow
def test_the_embedded_model_learns_sentiment(shared_data: Path, saved_dir: Path) -> None:
    """Better than the most frequent label by three standard errors, after an epoch of 600 samples."""
    folders: dict[str, Any] = {"data_dir": shared_data, "saved_dir": saved_dir}
    training = {"downsample": 1 / 3, "max_length": 64, "epochs": 1, "lr": 5e-4, "batch_size": 16}
    train(TrainConfig(**folders, **training, dataset_key="glue/sst2", lora_rank=8, devices=("cpu",)))
    asked: dict[str, Any] = {"dataset_key": "glue/sst2", "finetune_key": "glue/sst2", "limit": 300}
    found = evaluate(EvaluateConfig(**folders, **asked, device="cpu"))
    answers = [group[0]["answer"] for group in json.loads(found.path.read_text())["data"].values()]
    most = max(answers.count(answer) for answer in set(answers)) / len(answers)
    assert found.accuracy - 3 * found.stderr > most
