import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.manifest import Manifest, read_manifest, sidecar, start, write_manifest
from finetune_cot.config.replay import read_config_file
from finetune_cot.errors import ArtifactError
from finetune_cot.reporting.findings import Made
from finetune_cot.reporting.provenance import (
    cost_table,
    made_completions,
    provenance_table,
    read_made,
    time_table,
    token_table,
    version_table,
)
from tests.reporting.made_up import measured, student_id
from tests.reporting.made_up_estimates import losses, subsets, write_losses

CONFIG = {"epochs": 3}


def test_the_command_that_is_told_takes_the_same_options(tmp_path: Path) -> None:
    folder, file = (
        tmp_path / "checkpoints" / "a b_run_0",
        tmp_path / "finetune_data" / "P_custom" / "F_x.json",
    )
    manifests = folder / "manifest.json", sidecar(file)
    for path in manifests:
        path.parent.mkdir(parents=True)
        write_manifest(path, start("train", CONFIG).manifest())
    every = [read_made(tmp_path, path) for path in manifests]
    assert [item.path for item in every] == ["checkpoints/a b_run_0", "finetune_data/P_custom/F_x.json"]
    for row in provenance_table(every).rows:
        words = shlex.split(str(row[-1].value))
        assert words[:3] == ["ftcot", "train", "--config"]
        assert read_config_file(Path(words[3]), "train") == CONFIG
    assert [cell.value for row in version_table(every).rows for cell in row[1:]] == [2]


def test_the_truth_cost_what_its_trainings_took(tmp_path: Path) -> None:
    truth = tmp_path / "results" / "name" / "truth.json"
    write_losses(truth.with_name("results.csv"), subsets(3), losses(subsets(3)), seconds=20.0)
    write_manifest(truth, start("sample-truth", CONFIG).manifest())
    made = read_made(tmp_path, truth)
    assert (made.path, made.manifest.seconds) == ("results/name", 60.0)
    assert read_config_file(Path(made.replays), "sample-truth") == CONFIG


def test_a_manifest_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is no manifest"):
        read_made(tmp_path, tmp_path / "manifest.json")
    with pytest.raises(ArtifactError):
        read_manifest(tmp_path / "missing.json")


def test_costs_are_told_with_the_tokens_of_completions() -> None:
    manifest = replace(start("evaluate", {}).manifest(), seconds=2.0, peak_memory_bytes=2**30)
    item = replace(measured(student_id(), 5), manifest=manifest, prompt_tokens=30, completion_tokens=70)
    (row,) = cost_table(made_completions(Path(), [item]), [item]).rows
    assert [cell.value for cell in row[1:]] == ["evaluate", 2.0, 1.0, None, 30, 70]
    assert [[cell.value for cell in row[2:]] for row in token_table([item, item]).rows] == [[20, 60, 140]]
    assert token_table([measured(student_id(), 5)]).rows == ()


@pytest.mark.parametrize(
    ("teacher", "cost", "text"),
    [("openai", 0.12345, "0.1235"), ("openai", None, "unknown"), ("local", 0.0, "")],
)
def test_dollars_are_told_where_a_server_was_asked(teacher: str, cost: float | None, text: str) -> None:
    made = Made("c", start("teach", {"teacher": teacher}).manifest(cost=cost), "c")
    (row,) = cost_table([made], []).rows
    assert row[4].text == text


def test_time_is_summed_by_command_and_a_run_counts_once() -> None:
    def manifest(command: str, **values: object) -> Manifest:
        return replace(start(command, {}).manifest(), **values)  # type: ignore[arg-type]

    built = manifest("build-finetune-data", seconds=2.0, cpu_seconds=1.5)
    trained = manifest("train", seconds=10.0, cpu_seconds=3.0, gpu="some GPU", started="a")
    older = manifest("train", seconds=5.0, cpu_seconds=None, started="b")
    every = [Made(str(place), item, "") for place, item in enumerate((built, built, trained, older))]
    assert [[cell.value for cell in row] for row in time_table(every).rows] == [
        ["build-finetune-data", 1, 2.0, 1.5, None, ""],
        ["train", 2, 15.0, 3.0, 10.0, "some GPU"],
    ]
