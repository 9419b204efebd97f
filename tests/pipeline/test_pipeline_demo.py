"""The demo: its steps fit together, a second call does nothing again, and the student really learns."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_cot.config.demo import DemoConfig
from finetune_cot.pipeline.demo import DATASETS, demo


@pytest.mark.models
def test_a_second_demo_finds_everything_there(saved_dir: Path, tiny_llama_dir: Path) -> None:
    config = DemoConfig(model_key=str(tiny_llama_dir), questions=6, saved_dir=saved_dir)
    first = demo(config)
    assert first.questions == 6
    assert [row.dataset for row in first.datasets] == list(DATASETS.values())
    assert first.report.is_file()
    written = {
        path: path.stat().st_mtime_ns for path in saved_dir.rglob("*.json") if "reports" not in path.parts
    }
    second = demo(config)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert (second.datasets, second.checkpoint) == (first.datasets, first.checkpoint)


@pytest.mark.slow
def test_the_student_is_better_than_its_base_model(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "finetune_cot", "demo", "--json"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    result = json.loads(shown.stdout)
    assert result["questions"] >= 100
    assert result["self_taught_samples"] > 0
    assert result["gain_in_standard_errors"] > 2
