from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.files import sha256_file
from finetune_cot.artifacts.manifest import read_manifest, sidecar
from finetune_cot.artifacts.subset_lists import read_subsets
from finetune_cot.config.select import METHODS, SelectConfig
from finetune_cot.errors import ArtifactError, UsageError
from finetune_cot.pipeline.select import select
from tests.pipeline.second_road import second_road

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> dict[str, Any]:
    """Options of a meta-training, its gradients and eight true runs, all done."""
    return second_road(tmp_path_factory.mktemp("select"), tiny_llama_dir)


def config(options: dict[str, Any], **changes: Any) -> SelectConfig:
    given: dict[str, Any] = {"project_dim": 256, "number_of_subsets": 8, "subset_size": "2"}
    return SelectConfig(**{**options, **given, **changes})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_writes_what_it_chose(options: dict[str, Any], method: str) -> None:
    needed: dict[str, Any] = {"top-k": {"num_tasks": 2}, "threshold": {"threshold": 99.0}}
    result = select(config(options, select_by=method, **needed.get(method, {})))
    assert result.path is not None
    written = read_subsets(result.path, tasks=5)
    assert tuple(sorted(result.selected)) in written
    assert len(result.scores) == 5
    manifest = read_manifest(sidecar(result.path))
    assert (manifest.command, manifest.config["select_by"]) == ("select", method)
    assert manifest.outputs == {result.path.name: sha256_file(result.path)}
    if method == "affinity":
        assert sorted(task for group in written for task in group) == [0, 1, 2, 3, 4]
    else:
        assert len(written) == 1


def test_a_target_is_helped_by_itself(options: dict[str, Any]) -> None:
    by_name = select(config(options, target_task="once", num_tasks=1))
    assert by_name.tasks == ("once",)
    number = list(by_name.scores).index("once")
    assert select(config(options, target_task=str(number), num_tasks=1)).selected == by_name.selected


def test_so_many_tasks_as_are_asked_for_whether_they_gain_or_not(
    options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    alone = select(config(options, target_task="once"))
    assert "--num-tasks N takes N tasks all the same" in capsys.readouterr().err
    more = select(config(options, target_task="once", num_tasks=4))
    assert [len(more.selected), len(more.order), len(more.losses)] == [4, 4, 4]
    assert more.order[: len(alone.order)] == alone.order
    assert len(select(config(options, target_task="once", num_tasks=4, min_gain=0.0)).selected) < 4
    assert "--num-tasks" not in capsys.readouterr().err.split("all the same")[-1]


def test_measured_losses_serve_too(options: dict[str, Any]) -> None:
    result = select(config(options, select_by="top-k", num_tasks=2, losses="measured"))
    assert len(result.selected) == 2


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"target_task": "nothing"}, UsageError, "--target-task: there is no task 'nothing'; 0 double"),
        ({"num_tasks": 6}, UsageError, "--num-tasks: there are only 5 tasks"),
        ({"select_by": "top-k"}, UsageError, "--num-tasks: is needed"),
        ({"select_by": "threshold"}, UsageError, "--threshold: is needed"),
        ({"select_by": "threshold", "threshold": -99.0}, UsageError, "no task has so low a score"),
        ({"losses": "measured"}, UsageError, "stepwise needs losses of subsets that nobody measured"),
        ({"project_dim": 5}, ArtifactError, "there are no gradients"),
    ],
)
def test_what_cannot_be_is_told(
    options: dict[str, Any], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        select(config(options, **changes))
