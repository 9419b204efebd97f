import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.results import read_results
from finetune_cot.artifacts.subset_lists import write_subsets
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.pipeline.sample_truth import sample_truth
from finetune_cot.pipeline.train import train
from tests.pipeline.numbered_tasks import write_tasks

pytestmark = pytest.mark.models


@pytest.fixture
def options(tmp_path: Path, tiny_llama_dir: Path) -> dict[str, Any]:
    path = write_tasks(tmp_path / "tasks.jsonl")
    return {
        "model_key": str(tiny_llama_dir),
        "data_path": str(path),
        "saved_dir": tmp_path / "saved",
        "dev_fraction": 0.25,
        "devices": ("cpu",),
        "epochs": 2,
        "batch_size": 3,
        "lr": 0.01,
    }


def truth(options: dict[str, Any], **changes: Any) -> SampleTruthConfig:
    return SampleTruthConfig(**{**options, "number_of_subsets": 3, **changes})


def test_a_subset_gives_what_train_gives_on_its_tasks(options: dict[str, Any], tmp_path: Path) -> None:
    result = sample_truth(truth(options))
    rows = read_results(result.results_path)
    assert [result.subsets, result.reused, len(rows)] == [3, 0, 3]
    trained = train(
        TrainConfig(
            **{**options, "saved_dir": tmp_path / "other"}, task_idxes=rows[1].task_indices, dev_tasks="all"
        )
    )
    assert rows[1].loss == pytest.approx(trained.dev_loss, rel=1e-6)
    assert rows[1].loss_by_task == pytest.approx(trained.dev_loss_by_task, rel=1e-6)
    assert len({row.loss for row in rows}) == 3


def test_order_parts_and_resuming_change_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    whole = sample_truth(truth(options))
    expected = {row.task_indices: row.loss_by_task for row in read_results(whole.results_path)}
    parted = {**options, "saved_dir": tmp_path / "parted"}
    sample_truth(truth(parted, shard="1/2"))
    sample_truth(truth(parted, subset_num=2))
    last = sample_truth(truth(parted))
    assert [last.subsets, last.reused] == [3, 2]
    rows = read_results(last.results_path)
    assert {row.task_indices: row.loss_by_task for row in rows} == expected
    assert len(rows) == 3


def test_more_subsets_are_added_to_those_that_are_there(options: dict[str, Any]) -> None:
    sample_truth(truth(options))
    result = sample_truth(truth(options, number_of_subsets=5))
    assert [result.subsets, result.reused] == [5, 3]


def test_another_run_has_a_table_of_its_own(options: dict[str, Any]) -> None:
    first = sample_truth(truth(options, stop=1))
    second = sample_truth(truth(options, stop=1, run=1))
    assert second.results_path.parent.name == first.results_path.parent.name + "_run_1"
    one, other = read_results(first.results_path)[0], read_results(second.results_path)[0]
    assert one.task_indices == other.task_indices
    assert one.loss != other.loss


def test_results_of_another_training_are_refused(options: dict[str, Any]) -> None:
    sample_truth(truth(options, stop=1))
    with pytest.raises(ArtifactError, match=r"results of another training: --epochs was 2, not 1"):
        sample_truth(truth(options, epochs=1))
    result = sample_truth(truth(options, epochs=1, overwrite=True, stop=1))
    assert [result.subsets, result.reused, len(read_results(result.results_path))] == [1, 0, 1]


def test_a_given_list_and_leave_one_out(options: dict[str, Any], tmp_path: Path) -> None:
    write_subsets(tmp_path / "mine.txt", [(3,)])
    result = sample_truth(truth(options, load_sample_task_dir=str(tmp_path / "mine.txt")))
    assert [row.task_indices for row in read_results(result.results_path)] == [(3,)]
    result = sample_truth(truth(options, leave_one_out=True))
    assert len(read_results(result.results_path)) == 5


def test_a_plan_writes_nothing(options: dict[str, Any]) -> None:
    result = sample_truth(truth(options, dry_run=True))
    assert result.plan is not None
    assert result.plan["subsets missing"] == 3
    assert not options["saved_dir"].exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subset_size": "0"}, "--subset-size"),
        ({"subset_size": "1.5"}, "--subset-size"),
        ({"subset_size": "abc"}, "--subset-size"),
        ({"number_of_subsets": 7}, "only 6 of 2"),
        ({"shard": "2/2"}, "--shard: '2/2' is not i/N"),
        ({"start": 9}, "no subset is left of 3"),
        ({"dev_fraction": 0.0}, "no dev set"),
    ],
)
def test_what_cannot_be_is_told(options: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sample_truth(truth(options, **changes))


@pytest.mark.parametrize(
    "changes", [{"lora_targets": ("nope",)}, {"method": "full", "train_layers": ("nope",)}]
)
def test_options_that_the_model_does_not_fit_leave_nothing(
    options: dict[str, Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="nope"):
        sample_truth(truth(options, **changes))
    assert not [path for path in options["saved_dir"].rglob("*") if path.is_file()]


def test_a_subset_without_samples_is_named(options: dict[str, Any], tmp_path: Path) -> None:
    with Path(options["data_path"]).open("a") as file:
        for number in range(4):
            row = {"prompt": "word " * 200 + str(number), "completion": "x", "skill": "zz"}
            file.write(json.dumps(row) + "\n")
    write_subsets(tmp_path / "mine.txt", [(4,)])
    config = truth(options, load_sample_task_dir=str(tmp_path / "mine.txt"), max_length=100)
    with pytest.raises(DataError, match="subset 4: has no training samples"):
        sample_truth(config)


@pytest.mark.slow
def test_killed_runs_leave_the_results_of_an_undisturbed_one(options: dict[str, Any], tmp_path: Path) -> None:
    whole = sample_truth(truth(options, number_of_subsets=6))
    expected = {row.task_indices: row.loss_by_task for row in read_results(whole.results_path)}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if name != "devices"]
    command = [sys.executable, "-m", "finetune_cot", "sample-truth", *flags, "--number-of-subsets=6"]
    command += [f"--saved-dir={tmp_path / 'killed'}", "--devices=cpu"]
    for seconds in (6.0, 8.0, 9.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    both = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    last = sample_truth(truth({**options, "saved_dir": tmp_path / "killed"}, number_of_subsets=6))
    rows = read_results(last.results_path)
    assert len(rows) == 6
    assert {row.task_indices: row.loss_by_task for row in rows} == expected
