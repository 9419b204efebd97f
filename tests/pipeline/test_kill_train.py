"""``ftcot train`` killed at any moment and run again: the weights of a run that was never stopped."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.models

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
CHECKPOINT = "bundled_coin_flip_tiny-llama_lora_r_4_run_0"


def command(model: Path, saved_dir: Path) -> list[str]:
    values = {
        **{"model-key": model, "saved-dir": saved_dir, "dataset-key": "bundled_coin_flip", "devices": "cpu"},
        **{"downsample": 0.3, "epochs": 3, "batch-size": 4, "checkpoint-every": 2, "lora-dropout": 0.1},
        "accumulate": 2,
    }
    options = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "finetune_cot", "train", *options, "--json"]


def steps_done(saved_dir: Path) -> int:
    path = saved_dir / "checkpoints" / CHECKPOINT / "steps.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def kill_after(arguments: list[str], saved_dir: Path, steps: int, delay: float, number: int) -> int:
    """Start the command, end it with a signal some time after a step; returns the exit code."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(arguments, env=ENVIRONMENT, **quiet)
    while process.poll() is None and steps_done(saved_dir) < steps:
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(number)
    return process.wait(timeout=120)


def finish(arguments: list[str]) -> dict[str, object]:
    done = subprocess.run(
        arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def assert_same(first: Path, second: Path) -> None:
    names = ["last/adapter_model.safetensors", "best/adapter_model.safetensors", "steps.csv", "epochs.csv"]
    names += ["last/trainer_state.safetensors"]
    for name in names:
        one, other = (folder / "checkpoints" / CHECKPOINT / name for folder in (first, second))
        assert one.read_bytes() == other.read_bytes(), name


@pytest.mark.slow
def test_kill_at_random_moments(tiny_llama_dir: Path, tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")  # noqa: T201
    draw = random.Random(seed)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    result = finish(command(tiny_llama_dir, whole))
    total = int(str(result["steps"]))
    for at in sorted(draw.randrange(1, total + 1) for _ in range(5)):
        code = kill_after(command(tiny_llama_dir, killed), killed, at, draw.uniform(0, 0.3), signal.SIGKILL)
        assert code in (-signal.SIGKILL, 0)
    again = finish(command(tiny_llama_dir, killed))
    assert again["resumed"] or again["reused"]
    assert again["dev_loss"] == result["dev_loss"]
    assert_same(whole, killed)


@pytest.mark.slow
def test_interrupted_with_control_c(tiny_llama_dir: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    arguments = command(tiny_llama_dir, stopped)
    assert kill_after(arguments, stopped, 3, 0.0, signal.SIGINT) == 130
    assert finish(arguments)["resumed"]
    finish(command(tiny_llama_dir, whole))
    assert_same(whole, stopped)


def test_killed_once(tiny_llama_dir: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    arguments = command(tiny_llama_dir, killed)
    with subprocess.Popen(
        command(tiny_llama_dir, whole), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert kill_after(arguments, killed, 5, 0.02, signal.SIGKILL) == -signal.SIGKILL
        assert finish(arguments)["resumed"]
        assert process.wait(timeout=300) == 0
    assert_same(whole, killed)
    left = {path.name for path in (killed / "checkpoints").rglob("*") if path.name.startswith(".")}
    assert left == set()
