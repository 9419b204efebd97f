"""Real `ftcot` processes that are killed, interrupted, or meet on one file."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.completions import journal_path, read_completions
from tests.loopback import Loopback, loopback

DATASET = "bundled_coin_flip"
QUESTIONS = 60
Process = subprocess.Popen[str]


@contextlib.contextmanager
def ftcot(*arguments: object, saved_dir: Path) -> Iterator[Process]:
    """A running command; it does not outlive the test."""
    command = [sys.executable, "-m", "finetune_cot", *map(str, arguments), "--saved-dir", str(saved_dir)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    environment |= {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: Process, patience: float = 300.0) -> dict[str, Any]:
    out, told = process.communicate(timeout=patience)
    assert process.returncode == 0, out + told
    result: dict[str, Any] = json.loads(out)
    return result


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    """Wait for something that the process brings about, or for its end."""
    while not condition() and process.poll() is None:
        time.sleep(0.005)


def teach_arguments(served: Loopback) -> list[object]:
    options = {"model-key": "m", "dataset-key": DATASET, "limit": QUESTIONS, "base-url": served.base_url}
    return ["teach", "--teacher", "openai", *(part for k, v in options.items() for part in (f"--{k}", v))]


def content(path: Path) -> Any:
    """What a completion file holds, but for what tells of the run."""
    whole = json.loads(path.read_text())
    for name in ("manifest", "sha256"):
        del whole["metadata"][name]
    return whole


def kept(path: Path) -> set[str]:
    """Questions with a completion that is on the disk."""
    if not path.exists() and not journal_path(path).exists():
        return set()
    return {completion.question for completion in read_completions(path).completions}


def test_teach_killed_at_random_moments(tmp_path: Path) -> None:
    moments = random.Random(0)
    with loopback(delay=0.01) as served:
        with ftcot(*teach_arguments(served), saved_dir=tmp_path / "whole") as process:
            whole = Path(finish(process)["path"])
        path = tmp_path / "killed" / whole.relative_to(tmp_path / "whole")
        for _ in range(2):
            done, before = kept(path), len(served.asked)
            with ftcot(*teach_arguments(served), saved_dir=tmp_path / "killed") as process:
                target = before + moments.randint(10, 40)
                wait_until(lambda target=target: len(served.asked) >= target, process)  # type: ignore[misc]
                process.kill()
                process.wait()
            time.sleep(0.3)  # what was on its way when the process died
            asked = "\n".join(asked.text for asked in served.asked[before:])
            assert not [question for question in done if question in asked]
        done, before = kept(path), len(served.asked)
        assert 0 < len(done) < QUESTIONS
        assert not path.exists()
        with ftcot(*teach_arguments(served), saved_dir=tmp_path / "killed") as process:
            result = finish(process)
    assert (result["reused"], result["completed"]) == (len(done), QUESTIONS - len(done))
    assert len(served.asked) - before == 2 * (QUESTIONS - len(done))
    assert content(path) == content(whole)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_second_run_is_told_who_holds_the_file(tmp_path: Path) -> None:
    with (
        loopback(delay=0.3) as served,
        ftcot(*teach_arguments(served), saved_dir=tmp_path) as first,
    ):
        wait_until(lambda: bool(served.asked), first)
        with ftcot(*teach_arguments(served), saved_dir=tmp_path) as second:
            out, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        message = json.loads(out)["error"]["message"]
        assert f"is in use by `ftcot teach` (process {first.pid} on" in message
        assert message.endswith("wait for it to finish, or stop it")
        assert first.poll() is None


def test_an_interrupted_run_keeps_what_is_done(tmp_path: Path) -> None:
    with loopback(delay=0.05) as served:
        with ftcot(*teach_arguments(served), saved_dir=tmp_path) as process:
            wait_until(lambda: len(served.asked) > 30, process)
            process.send_signal(signal.SIGINT)
            out, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert json.loads(out)["error"]["message"].startswith("interrupted; what is done is kept")
        assert "Traceback" not in told
        [journal] = tmp_path.rglob("*.journal.jsonl")
        done = len(journal.read_text().splitlines()) - 1
        assert done > 0
        with ftcot(*teach_arguments(served), saved_dir=tmp_path) as process:
            assert finish(process)["reused"] == done


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize(
    "options",
    [
        ["evaluate", "--completion-key", "zs_cot"],
        ["teach", "--completion-key", "zs_cot_t70", "--num-completions", "2"],
    ],
    ids=["evaluate", "teach"],
)
def test_a_local_model_killed_at_random_moments(
    options: list[str], tmp_path: Path, tiny_llama_dir: Path
) -> None:
    moments = random.Random(1)
    arguments = [*options, "--model-key", tiny_llama_dir, "--dataset-key", DATASET, "--split", "all"]
    arguments += ["--limit", "120", "--inference-batch-size", "4", "--max-reasoning-tokens", "40"]
    with ftcot(*arguments, saved_dir=tmp_path / "whole") as process:
        whole = Path(finish(process)["path"])
    path = tmp_path / "killed" / whole.relative_to(tmp_path / "whole")
    journal = journal_path(path)
    for _ in range(3):
        with ftcot(*arguments, saved_dir=tmp_path / "killed") as process:
            size = journal.stat().st_size if journal.exists() else 0
            target = size + moments.randint(1, 20_000)
            wait_until(
                lambda target=target: journal.exists() and journal.stat().st_size >= target,  # type: ignore[misc]
                process,
            )
            process.kill()
            process.wait()
    assert journal.exists()
    done = len(read_completions(path).completions)
    with ftcot(*arguments, saved_dir=tmp_path / "killed") as process:
        result = finish(process)
    assert result["reused"] == done > 0
    assert content(path) == content(whole)
    assert not journal.exists()
