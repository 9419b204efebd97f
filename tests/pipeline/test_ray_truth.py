"""Workers of a local Ray measure what this process measures, also when one of them is killed."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.results import ResultRow, append_result, read_results
from finetune_cot.artifacts.subset_lists import write_subsets
from finetune_cot.config.sample_truth import SampleTruthConfig
from finetune_cot.errors import DataError, UsageError
from finetune_cot.pipeline import ray_truth
from finetune_cot.pipeline.ray_pool import check_ray
from finetune_cot.pipeline.sample_truth import sample_truth
from tests.pipeline.numbered_tasks import write_tasks


@pytest.fixture
def options(tmp_path: Path, tiny_llama_dir: Path) -> dict[str, Any]:
    too_long = [
        {"prompt": "word " * 200 + str(number), "completion": "x", "skill": "zz"} for number in range(4)
    ]
    path = write_tasks(tmp_path / "tasks.jsonl", too_long)
    write_subsets(tmp_path / "list.txt", [(0,), (1,), (2,), (3,), (0, 1), (1, 2), (4,)])
    return {
        "model_key": str(tiny_llama_dir),
        "data_path": str(path),
        "dev_fraction": 0.25,
        "max_length": 100,
        "devices": ("cpu",),
        "epochs": 1,
        "load_sample_task_dir": str(tmp_path / "list.txt"),
    }


def on_ray(options: dict[str, Any], saved_dir: Path, **changes: Any) -> SampleTruthConfig:
    own = {"saved_dir": saved_dir, "engine": "ray", "ray_address": "local", "ray_workers": 2}
    return SampleTruthConfig(**{**options, **own, **changes})


def workers() -> list[int]:
    """Processes of Ray's workers that descend from this one."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(b"ray::TruthWorker"):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue

    def is_ours(process: int) -> bool:
        return process == os.getpid() or (process in parents and is_ours(parents[process]))

    return sorted(filter(is_ours, found))


def rows(path: Path) -> dict[tuple[int, ...], str]:
    return {row.task_indices: str(replace(row, seconds=None)) for row in read_results(path)}


def test_a_killed_worker_costs_nothing_and_what_a_worker_refuses_is_told(
    options: dict[str, Any],
    tmp_path: Path,
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    killed: list[int] = []

    def write_and_kill(path: Path, row: ResultRow) -> None:
        append_result(path, row)
        if not killed:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(ray_truth, "append_result", write_and_kill)
    with pytest.raises(DataError, match="subset 4: has no training samples"):
        sample_truth(on_ray(options, tmp_path / "ray"))
    assert "a worker died over" in capsys.readouterr().err
    assert not workers()
    (path,) = (tmp_path / "ray").rglob("results.csv")
    measured = read_results(path)
    assert len({row.task_indices for row in measured}) == len(measured) >= 5
    here = sample_truth(on_ray(options, tmp_path / "here", engine="local", stop=6))
    assert rows(path).items() <= rows(here.results_path).items()
    assert sample_truth(on_ray(options, tmp_path / "ray", engine="local", stop=6)).reused == len(measured)


def test_what_cannot_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="run it without torchrun"):
        check_ray(2)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"Ray is not installed; run: pip install 'finetune-cot\[ray\]'"):
        check_ray(1)
