"""Runs trained by workers of a local Ray are those that this process trains."""

from pathlib import Path
from typing import Any

import pytest

from finetune_cot.config.train import TrainConfig
from finetune_cot.pipeline.train import train
from tests.pipeline.numbered_tasks import write_tasks

pytestmark = pytest.mark.slow


def test_runs_on_ray_are_those_of_one_process(
    tiny_llama_dir: Path, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tasks(tmp_path / "tasks.jsonl")

    def config(saved: str, **engine: object) -> TrainConfig:
        return TrainConfig(
            model_key=str(tiny_llama_dir),
            data_path="tasks.jsonl",
            dev_fraction=0.25,
            devices=("cpu",),
            epochs=1,
            saved_dir=Path(saved),
            **engine,  # type: ignore[arg-type]
        )

    ray: dict[str, Any] = {"engine": "ray", "ray_address": "local", "ray_workers": 2}
    runs: dict[str, Any] = {"runs": 3, "write_results": True}
    on_ray, here = train(config("ray", **ray, **runs)), train(config("here", **runs))
    assert [run.run for run in on_ray.runs] == [0, 1, 2]
    assert [run.dev_loss for run in on_ray.runs] == [run.dev_loss for run in here.runs]
    assert len({run.dev_loss for run in on_ray.runs}) == 3
    for run, other in zip(on_ray.runs, here.runs, strict=True):
        name = "last/adapter_model.safetensors"
        assert (Path(run.checkpoint) / name).read_bytes() == (Path(other.checkpoint) / name).read_bytes()
    assert train(config("ray", **runs)).reused

    (tmp_path / "groups.txt").write_text("0 1\n2 3\n")
    groups = {"groups": "groups.txt", "boost": 1}
    joined, alone = train(config("groups_ray", **ray, **groups)), train(config("groups", **groups))
    assert joined.dev_loss_by_task == alone.dev_loss_by_task
    assert [run.dev_loss for run in joined.runs] == [run.dev_loss for run in alone.runs]
