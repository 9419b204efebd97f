"""Texts that are classified, from training to estimates, by each way of training."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_cot.artifacts.gradient_store import open_store
from finetune_cot.artifacts.results import read_results
from finetune_cot.batches.collation import collate
from finetune_cot.cli.main import main
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.options import replace
from finetune_cot.config.report import ReportConfig
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.select import SelectConfig
from finetune_cot.config.teach import TeachConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.models.naming import weight_name
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.evaluate import EvaluateResult, evaluate
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.report import report
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.select import select
from finetune_cot.pipeline.teach import teach
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.trainable import encode_parts, load_trainable
from finetune_cot.tasks.glue import label_space
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.weights import read_weights, saved_weights, trainable_weights
from tests.adapters_library import with_adapters
from tests.glue_files import write_glue

pytestmark = pytest.mark.models

LORA: dict[str, Any] = {"lora_rank": 2}
BOTTLENECK: dict[str, Any] = {"method": "adapter", "reduction_factor": 4.0}
CELLS = [
    pytest.param("llama", LORA, id="decoder-lora"),
    pytest.param("bert", LORA, id="encoder-lora"),
    pytest.param("wide", {**LORA, "method": "qlora"}, id="decoder-qlora"),
    pytest.param("llama", BOTTLENECK, id="decoder-adapter", marks=with_adapters),
    pytest.param("bert", BOTTLENECK, id="encoder-adapter", marks=with_adapters),
    pytest.param("wide", {**BOTTLENECK, "method": "qadapter"}, id="decoder-qadapter", marks=with_adapters),
    pytest.param("llama", {"method": "full"}, id="decoder-full"),
    pytest.param("bert", {"method": "full"}, id="encoder-full"),
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


@pytest.fixture
def bases(tiny_llama_dir: Path, tiny_bert_dir: Path, wide_model_dirs: dict[str, Path]) -> dict[str, Path]:
    return {"llama": tiny_llama_dir, "bert": tiny_bert_dir, "wide": wide_model_dirs["llama"]}


@pytest.mark.parametrize(("base", "method"), CELLS)
def test_every_command(
    base: str, method: dict[str, Any], options: dict[str, Any], bases: dict[str, Path]
) -> None:
    options |= {**method, "model_key": str(bases[base])}
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

    merged = method.get("method") not in ("adapter", "qadapter")
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
    assert losses.mean() == pytest.approx(trained.dev_loss, rel=1e-4)

    assert select(SelectConfig(**options, project_dim=0, target_task="rte", num_tasks=1)).selected == (0,)
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
    assert measured(options, "sst2").n == 8
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
    found = measured(options, "stsb", finetune_key="glue-stsb+glue-sst2")
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


def test_groups_of_samples_keep_their_own_labels(options: dict[str, Any]) -> None:
    grads(GradsConfig(**options, project_dim=16))
    grouped = select(SelectConfig(**options, project_dim=16, group_by="cluster", num_clusters=3))
    trained = train(TrainConfig(**options, **TRAINING, task_groups=grouped.task_groups))
    assert set(trained.dev_loss_by_task) <= {"cluster_00", "cluster_01", "cluster_02"}
    assert set(trained.dev_metrics) == {"sst2_accuracy", "rte_accuracy"}


def test_it_is_reported(options: dict[str, Any]) -> None:
    train(TrainConfig(**options, **TRAINING))
    found = measured(options, "rte")
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
