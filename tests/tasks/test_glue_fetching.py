"""GLUE's tasks from a copy of the hub's repository."""

import json
from pathlib import Path

import pytest

from finetune_cot.cli.main import main
from finetune_cot.errors import DataError
from finetune_cot.tasks.catalog import list_datasets
from finetune_cot.tasks.glue import GLUE
from finetune_cot.tasks.glue_fetching import SIZES, fetch_glue
from finetune_cot.tasks.reasoning import load_dataset
from tests.glue_files import SCHEMAS, write_hub_copy


@pytest.fixture(autouse=True)
def hub_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two samples of each part; the test part, which the hub has too, is not asked for."""
    from huggingface_hub import constants

    def rows(task: str, part: str) -> list[dict[str, object]]:
        return [
            {column: f"{part} {column} {number}" for column in SCHEMAS[task][0]}
            | {"label": 0, "idx": number, "other": "x"}
            for number in range(2)
        ]

    write_hub_copy(
        tmp_path,
        {task: {part: rows(task, part) for part in (*GLUE[task].parts.values(), "test")} for task in GLUE},
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("task", GLUE)
def test_every_task(task: str, tmp_path: Path) -> None:
    data_dir, sizes = tmp_path / "data", (2,) * len(SIZES[task])
    from_hub = load_dataset(f"glue/{task}", data_dir)
    report = fetch_glue(task, data_dir, sizes=sizes)
    assert (report.key, report.samples, report.written) == (f"glue/{task}", sum(sizes), True)
    fetched = load_dataset(f"glue/{task}", data_dir)
    assert fetched.samples == from_hub.samples
    assert fetched.source == str(data_dir / "glue" / task)
    columns = {*SCHEMAS[task][0], "label", "idx"}
    assert json.loads((report.path / "train.jsonl").read_text().splitlines()[0]).keys() == columns
    assert not fetch_glue(task, data_dir, sizes=sizes).written
    listed = [item.key for item in list_datasets(data_dir) if item.key.startswith("glue/")]
    assert listed == [f"glue/{task}", *["glue/mnli_mismatched"] * (task == "mnli")]


def test_other_files_are_kept(tmp_path: Path) -> None:
    fetch_glue("rte", tmp_path / "data", sizes=(2, 2))
    path = tmp_path / "data" / "glue" / "rte" / "validation.jsonl"
    path.write_text("mine")
    with pytest.raises(DataError, match="is there already and differs; use --overwrite"):
        fetch_glue("rte", tmp_path / "data", sizes=(2, 2))
    assert path.read_text() == "mine"
    assert fetch_glue("rte", tmp_path / "data", sizes=(2, 2), overwrite=True).written


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["data", "fetch", "glue/mnli", "--data-dir", str(tmp_path / "data"), "--json"]
    assert main(line) == 1
    told = json.loads(capsys.readouterr().out)["error"]["message"]
    assert "nyu-mll/glue:mnli, train: is not as it was published: it has 2 samples, not 392702" in told
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr("finetune_cot.tasks.glue_fetching.SIZES", {"mnli": (2, 2, 2)})
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 6
    (manifest,) = (tmp_path / "data" / "manifests").iterdir()
    outputs = json.loads(manifest.read_text())["outputs"]
    assert outputs.keys() == {f"glue/mnli/{part}.jsonl" for part in GLUE["mnli"].parts}
