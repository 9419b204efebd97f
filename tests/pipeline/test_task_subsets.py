"""The tasks that `train` is told to train on."""

from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.ids import SampledIndicesId
from finetune_cot.artifacts.subset_lists import write_subsets
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import DataError, UsageError
from finetune_cot.pipeline.task_subsets import trained_tasks


@pytest.fixture
def lists(saved_dir: Path) -> Path:
    """Two lists under saved/: of one subset, and of three."""
    write_subsets(SampledIndicesId("one").path(saved_dir), [(1, 3)])
    write_subsets(SampledIndicesId("three").path(saved_dir), [(0,), (2, 3), (1,)])
    return saved_dir


@pytest.mark.parametrize(
    ("given", "tasks"),
    [
        ({}, None),
        ({"task_idxes": (2, 0)}, (2, 0)),
        ({"load_sample_task_dir": "one"}, (1, 3)),
        ({"load_sample_task_dir": "one", "subset_num": 0}, (1, 3)),
        ({"load_sample_task_dir": "three", "subset_num": 1}, (2, 3)),
    ],
)
def test_tasks_by_their_numbers_or_from_a_list(
    lists: Path, given: dict[str, Any], tasks: tuple[int, ...] | None
) -> None:
    assert trained_tasks(TrainConfig(saved_dir=lists, **given), 4) == tasks


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"load_sample_task_dir": "three"},
            r"three\.txt: holds 3 subsets; choose one by --subset-num, from 0 to 2",
        ),
        ({"load_sample_task_dir": "three", "subset_num": 3}, "holds 3 subsets, none of number 3"),
        ({"load_sample_task_dir": "one", "subset_num": 1}, "none of number 1"),
        ({"load_sample_task_dir": "one", "task_idxes": (1,)}, "give --task-idxes or --load-sample-task-dir"),
        ({"subset_num": 0}, "--subset-num: needs --load-sample-task-dir"),
        ({"load_sample_task_dir": "two"}, "no list of subsets is there"),
    ],
)
def test_what_names_no_subset(lists: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, DataError), match=message):
        trained_tasks(TrainConfig(saved_dir=lists, **given), 4)


def test_a_list_of_other_tasks_is_refused(lists: Path) -> None:
    with pytest.raises(DataError, match=r"one\.txt, line 1: names task 3, but there are 2"):
        trained_tasks(TrainConfig(saved_dir=lists, load_sample_task_dir="one"), 2)
