"""``ftcot train --groups``: an adapter for each group of tasks, and the ensemble of them."""

import json
from dataclasses import replace as altered
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_cot.artifacts.ensembles import read_ensemble
from finetune_cot.batches.collation import collate
from finetune_cot.batches.encoding import encode_choice
from finetune_cot.cli.main import main
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.options import replace
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.models.classification import class_logits
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.pipeline.evaluate import evaluate
from finetune_cot.pipeline.export_hf import export_hf
from finetune_cot.pipeline.member_losses import MemberLosses, member_losses
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_data import divide, read_training_data
from finetune_cot.pipeline.train_result import TrainResult
from finetune_cot.pipeline.trainable import encode_parts
from finetune_cot.tasks.reasoning import load_dataset
from tests.glue_files import write_glue
from tests.pipeline.methods import CLASSIFYING, GLUE_TASKS, ask_classifier, two_glue_tasks
from tests.tiny_models import write_llama

pytestmark = pytest.mark.models

CHOSEN = (0, 3, 5, 8)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> TrainConfig:
    """Two groups of bundled tasks."""
    folder = tmp_path_factory.mktemp("groups")
    (folder / "groups.txt").write_text("0 3\n5 8\n")
    return TrainConfig(
        model_key=str(tiny_llama_dir),
        groups=str(folder / "groups.txt"),
        boost=1,
        downsample=0.3,
        dev_fraction=0.3,
        epochs=1,
        lr=1e-2,
        devices=("cpu",),
        saved_dir=folder / "saved",
    )


@pytest.fixture(scope="module")
def trained(config: TrainConfig) -> TrainResult:
    return train(config)


def test_members_are_those_that_train_makes_of_each_group(config: TrainConfig, trained: TrainResult) -> None:
    names = [Path(run.checkpoint).name for run in trained.runs]
    stem = trained.checkpoint.name.replace("_groups_run_0", "")
    assert names == [f"{stem}_{name}_run_0" for name in ("group_0", "group_1", "boost_0")]
    alone = train(replace(config, groups=None, boost=0, task_idxes=(5, 8), save_name="alone", train_key="x"))
    folders = [alone.checkpoint / "last", Path(trained.runs[1].checkpoint) / "last"]
    copied = trained.checkpoint / "last" / "member_1"
    weights = [(folder / "adapter_model.safetensors").read_bytes() for folder in (*folders, copied)]
    assert weights[0] == weights[1] == weights[2]


def test_its_losses_are_of_probabilities_averaged_by_weights_of_other_samples(
    config: TrainConfig, trained: TrainResult
) -> None:
    from finetune_cot.models.ensemble import load_ensemble

    loaded = load_ensemble(trained.checkpoint / "last", device="cpu")
    data = read_training_data(config)
    parts = divide(data, config, CHOSEN, "trained")
    dev = encode_parts(parts, data.template, config.max_length, loaded).dev
    # Batches of one, so that the order is that of the samples.
    every = member_losses(loaded, read_ensemble(trained.checkpoint / "last").members, dev, 1)
    for task, loss in trained.dev_loss_by_task.items():
        assert loss == pytest.approx(every.held_out(task), rel=1e-4)
    assert set(trained.dev_loss_by_task) == {data.tasks[number] for number in CHOSEN}
    assert trained.dev_loss == pytest.approx(np.mean(list(trained.dev_loss_by_task.values())))
    (ensemble,) = trained.ensembles
    assert sum(ensemble.members.values()) == pytest.approx(1)
    for number, run in enumerate(trained.runs[:2]):
        for task, loss in run.dev_loss_by_task.items():
            assert ensemble.own_group_loss_by_task[task] == pytest.approx(loss, rel=1e-4), number


def test_weights_learned_on_the_measured_samples_would_flatter() -> None:
    random = np.random.default_rng(0)
    losses = random.gamma(2.0, 1.0, size=(3, 12))
    measured = MemberLosses(losses, np.repeat(np.arange(6), 2), ("a",) * 6, tuple(range(6)))
    weights = measured.weights(np.ones(6, dtype=bool))
    assert measured.mixed({"a": tuple(weights)}).mean() < measured.held_out("a")
    single = altered(
        measured, losses=losses[:, :2], sample=np.zeros(2, dtype=int), tasks=("a",), indices=(0,)
    )
    assert single.held_out("a") == pytest.approx(single.mixed({"a": (1 / 3, 1 / 3, 1 / 3)})[0])


def test_the_same_again_does_nothing_and_another_is_refused(
    config: TrainConfig, trained: TrainResult
) -> None:
    files = {path: path.stat().st_mtime_ns for path in config.saved_dir.rglob("*") if path.is_file()}
    again = train(config)
    assert (again.reused, again.dev_loss_by_task) == (True, trained.dev_loss_by_task)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    with pytest.raises(ArtifactError, match="another ensemble"):
        train(replace(config, boost=0))


def test_evaluate_runs_the_ensemble_by_its_keys_and_by_its_folder(
    config: TrainConfig, trained: TrainResult
) -> None:
    options: dict[str, Any] = {
        "dataset_key": "bundled",
        "limit": 4,
        "max_reasoning_tokens": 8,
        "max_answer_tokens": 4,
        "saved_dir": config.saved_dir,
        "device": "cpu",
    }
    by_keys = evaluate(
        EvaluateConfig(model_key=config.model_key, finetune_key="bundled", train_key="lora_groups", **options)
    )
    by_folder = evaluate(EvaluateConfig(load_model_dir=trained.checkpoint, **options))
    assert (by_keys.n, by_keys.generated, by_folder.generated, by_folder.path) == (4, 4, 0, by_keys.path)


def test_an_ensemble_of_classifiers(tmp_path: Path, tiny_llama_dir: Path) -> None:
    options = two_glue_tasks(tmp_path, tiny_llama_dir)
    (tmp_path / "groups.txt").write_text("0\n1\n")
    groups = {"groups": str(tmp_path / "groups.txt"), "boost": 1}
    trained = train(TrainConfig(**options, **CLASSIFYING, **groups))
    assert trained.dev_loss_by_task.keys() == {"sst2", "rte"}
    found = ask_classifier(options, "sst2", finetune_key=GLUE_TASKS, train_key="lora_groups")
    assert (found.n, found.generated, set(found.metrics)) == (8, 8, {"accuracy"})
    assert ask_classifier(options, "sst2", load_model_dir=trained.checkpoint).path == found.path

    described = read_ensemble(trained.checkpoint / "last")
    samples = load_dataset("glue/sst2", options["data_dir"]).samples[-8:]
    said: Any = 0
    for share, run in zip(described.weights_by_task["sst2"], trained.runs, strict=True):
        loaded = load_finetuned(Path(run.checkpoint), merged=False, device="cpu")
        assert loaded.labels
        examples = [encode_choice(loaded.tokenizer, loaded.labels, item, "sst2") for item in samples]
        batch = collate(examples, loaded.tokenizer.pad_token_id)
        assert batch.choices
        logits = class_logits(loaded.model, batch.inputs, batch.choices.allowed)
        said = said + share * logits.detach().softmax(dim=1)
    right = [loaded.labels.answer("sst2", value) for value in batch.choices.guesses(said.log())]
    answers = {
        int(index): group[0]["completion"]
        for index, group in json.loads(found.path.read_text())["data"].items()
    }
    assert [answers[item.sample_index] for item in samples] == right


def test_scores_are_not_joined(tmp_path: Path, tiny_llama_dir: Path) -> None:
    options = two_glue_tasks(tmp_path, tiny_llama_dir)
    write_glue(options["data_dir"], ("stsb",))
    options |= {"dataset_key": "glue/stsb+glue/sst2", "groups": str(tmp_path / "groups.txt")}
    with pytest.raises(UsageError, match=r"--groups: cannot join scores, .* such as those of stsb"):
        train(TrainConfig(**options))
    assert not options["saved_dir"].exists()


def test_what_cannot_be_is_told_in_one_line(
    config: TrainConfig, trained: TrainResult, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"task_idxes": (1,)}, UsageError, "--task-idxes"),
        ({"method": "full"}, UsageError, "cannot join"),
        ({"groups": "nowhere"}, DataError, "no list of subsets"),
        ({"dev_fraction": 0.0}, UsageError, "no dev samples"),
        ({"groups": None}, UsageError, "boosts an ensemble"),
    ]
    for values, kind, words in wrong:
        with pytest.raises(kind, match=words):
            train(replace(config, **values))
    doubled = config.saved_dir.parent / "doubled.txt"
    doubled.write_text("0 3\n3 5\n")
    with pytest.raises(UsageError, match="several groups"):
        train(replace(config, groups=str(doubled)))
    with pytest.raises(UsageError, match="ensemble"):
        export_hf(ExportHfConfig(load_model_dir=trained.checkpoint, saved_dir=config.saved_dir))
    with pytest.raises(UsageError, match="ensemble"):
        train(replace(config, groups=None, boost=0, load_model_dir=trained.checkpoint, save_name="more"))
    assert main(["train", "--groups", "nowhere", "--saved-dir", str(config.saved_dir)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_members_on_a_base_in_4_bits_share_it(config: TrainConfig, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    model = write_llama(tmp_path / "wide", hidden_size=64)
    result = train(
        replace(config, model_key=str(model), method="qlora", train_key="qlora", boost=0, saved_dir=tmp_path)
    )
    options: dict[str, Any] = {"limit": 2, "max_reasoning_tokens": 4, "max_answer_tokens": 2}
    found = evaluate(EvaluateConfig(load_model_dir=result.checkpoint, saved_dir=tmp_path, **options))
    assert (found.generated, found.train_key) == (2, "qlora_groups")
