"""Clusters of samples as tasks, from gradients to a training on the chosen ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.finetune_data import FinetuneRow, write_finetune_json
from finetune_cot.artifacts.ids import FinetuneDataId
from finetune_cot.artifacts.manifest import sidecar, start
from finetune_cot.artifacts.results import read_results
from finetune_cot.artifacts.task_groups import read_task_groups
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.options import replace
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.select import SelectConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, UsageError
from finetune_cot.pipeline.estimate import estimate
from finetune_cot.pipeline.grads import grads
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.select import SelectResult, select
from finetune_cot.pipeline.train import train
from tests.pipeline.second_road import second_road

pytestmark = pytest.mark.models

TRAINING: dict[str, Any] = {"epochs": 1, "lr": 0.02}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> dict[str, Any]:
    """Options of a meta-training and its gradients, all done."""
    return second_road(tmp_path_factory.mktemp("clusters"), tiny_llama_dir)


@pytest.fixture(scope="module")
def clustered(options: dict[str, Any]) -> SelectResult:
    return select(config(options))


def config(options: dict[str, Any], **changes: Any) -> SelectConfig:
    given: dict[str, Any] = {"project_dim": 256, "group_by": "cluster", "num_clusters": 4}
    return SelectConfig(**{**options, **given, **changes})


def test_clusters_hold_every_sample_the_largest_first(
    options: dict[str, Any], clustered: SelectResult
) -> None:
    assert clustered.task_groups is not None
    assert clustered.task_groups.name == "Instruction_tiny-llama_lora_r_2_clusters_4.json"
    groups = read_task_groups(clustered.task_groups)
    assert (
        groups.groups == ("cluster_00", "cluster_01", "cluster_02", "cluster_03") == tuple(clustered.scores)
    )
    assert sorted(index for of in groups.numbers.values() for index in of) == list(range(40))
    sizes = list(clustered.samples_by_task.values())
    assert sum(sizes) == 30
    assert sizes == sorted(sizes, reverse=True)
    again = select(config(options))
    assert again == clustered


def test_every_later_command_takes_them(options: dict[str, Any], clustered: SelectResult) -> None:
    """And none of them touches what the data's own tasks came to."""
    saved, dated_anew = options["saved_dir"], sidecar(clustered.path or Path())
    files = (path for path in saved.rglob("*") if path.is_file() and path != dated_anew)
    before = {path: path.read_bytes() for path in files}
    with_groups = {**options, "task_groups": clustered.task_groups}
    subsets: dict[str, Any] = {"number_of_subsets": 4, "subset_size": "2"}
    estimated = estimate(EstimateConfig(**with_groups, **subsets, project_dim=256))
    measured = sample_truth(SampleTruthConfig(**with_groups, **TRAINING, **subsets))
    assert [estimated.subsets, measured.subsets, measured.reused] == [4, 4, 0]
    of_both = [read_results(result.results_path) for result in (estimated, measured)]
    forward = estimate(EstimateConfig(**with_groups, **subsets, project_dim=256, evaluate="forward"))
    assert forward.method == "gradex-forward"
    assert read_results(forward.results_path)[0].loss_by_task.keys() == of_both[0][0].loss_by_task.keys()
    assert estimated.tasks == measured.tasks == tuple(clustered.scores)
    assert [row.task_indices for row in of_both[0]] == [row.task_indices for row in of_both[1]]
    for row, true in zip(*of_both, strict=True):
        assert row.loss_by_task.keys() == true.loss_by_task.keys() <= set(clustered.scores)
    again = select(config(with_groups, group_by="task"))
    assert [again.scores, again.selected] == [clustered.scores, clustered.selected]
    student = train(TrainConfig(**with_groups, **TRAINING, train_key="some", task_idxes=clustered.selected))
    assert student.samples == sum(clustered.samples_by_task[task] for task in clustered.tasks)
    assert student.checkpoint.name == "Instruction_tiny-llama_lora_r_2_clusters_4_run_0"
    assert {path: path.read_bytes() for path in before} == before


def test_a_training_of_a_listed_subset_is_that_of_its_tasks(
    options: dict[str, Any], clustered: SelectResult
) -> None:
    """And gives the losses that `sample-truth` measures for it."""
    assert clustered.path is not None
    shared: dict[str, Any] = {**options, **TRAINING, "task_groups": clustered.task_groups, "dev_tasks": "all"}
    listed = {"load_sample_task_dir": clustered.path.stem, "save_name": "listed", "train_key": "listed"}
    trained = train(TrainConfig(**shared, **listed))
    del shared["dev_tasks"]
    truth = sample_truth(
        SampleTruthConfig(**shared, load_sample_task_dir=str(clustered.path), save_name="one")
    )
    row = read_results(truth.results_path)[0]
    assert row.task_indices == clustered.selected
    assert row.loss_by_task == pytest.approx(trained.dev_loss_by_task)


def test_answers_to_one_question_are_of_one_cluster(saved_dir: Path, tiny_llama_dir: Path) -> None:
    """Whatever their tasks call the samples: two tasks may number theirs alike."""
    rows = [
        FinetuneRow(
            number, copy, task, f"{task} {number}?", f"{word} {number + copy} " * (copy + 1), str(number)
        )
        for task, word in (("double", "aa"), ("triple", "bb"))
        for number in range(6)
        for copy in range(3)
    ]
    path = FinetuneDataId("custom", "mine").path(saved_dir)
    write_finetune_json(path, rows, {}, start("build-finetune-data", {}).manifest(), overwrite=False)
    options: dict[str, Any] = {
        "finetune_key": "mine",
        "saved_dir": saved_dir,
        "model_key": str(tiny_llama_dir),
    }
    options |= {"devices": ("cpu",), "dev_fraction": 0.25, "project_dim": 64}
    grads(GradsConfig(**options))
    given = SelectConfig(**options, group_by="cluster", num_clusters=3)
    chosen = select(given)
    assert chosen.task_groups is not None
    groups = read_task_groups(chosen.task_groups)
    assert {task: sorted(of) for task, of in groups.numbers.items()} == {
        "double": list(range(6)),
        "triple": list(range(6)),
    }
    assert sum(chosen.samples_by_task.values()) == 24
    assert all(samples % 3 == 0 for samples in chosen.samples_by_task.values())
    with pytest.raises(UsageError, match="--num-clusters: 8 samples cannot form 9 clusters"):
        select(replace(given, num_clusters=9))


def test_groups_of_other_data_are_refused(
    options: dict[str, Any], clustered: SelectResult, tmp_path: Path
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n")
    changed = {**options, "task_groups": clustered.task_groups, "data_path": str(other)}
    with pytest.raises(ArtifactError, match="holds groups of other samples; give the data"):
        train(TrainConfig(**changed))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"num_clusters": 31}, UsageError, "--num-clusters: 30 samples cannot form 31 clusters"),
        ({"task_groups": Path("x.json")}, ArtifactError, r"x\.json: is not there"),
        ({"seed": 1}, ArtifactError, "was made with another dev samples"),
        ({"points": ("meta",)}, ArtifactError, "holds other groups; give --overwrite"),
    ],
)
def test_what_cannot_be_is_told(
    options: dict[str, Any],
    clustered: SelectResult,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        select(config(options, **changes))


def test_clusters_of_clusters_are_refused(options: dict[str, Any], clustered: SelectResult) -> None:
    with pytest.raises(UsageError, match="contradicts --task-groups"):
        select(config(options, task_groups=clustered.task_groups))
