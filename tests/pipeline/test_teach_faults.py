"""`ftcot teach` against a server that fails in every way, with kills: every completion exactly once."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.completions import journal_path
from tests.faulty_server import FAULTS, FaultyServer, faulty_server
from tests.pipeline.test_kill_teach_evaluate import content, finish, ftcot, wait_until

CONCURRENCY = 64
QUESTIONS = 300
"""As many as the data set holds."""


def without_requests(path: Path) -> Any:
    """What a file holds, but for how many choices shared a request and its tokens, which faults change."""
    whole = content(path)
    for records in whole["data"].values():
        for record in records:
            for name in ("parameters", "prompt_tokens", "completion_tokens"):
                del record[name]
    return whole


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where it is not there."""
    return path.stat().st_size if path.exists() else 0


def arguments(served: FaultyServer, completions: int) -> list[object]:
    options = {
        "model-key": "m",
        "dataset-key": "bundled_coin_flip",
        "completion-key": "zs_t70",
        "num-completions": max(completions // QUESTIONS, 1),
        "limit": min(completions, QUESTIONS),
        "base-url": served.base_url,
        "concurrency": CONCURRENCY,
        "timeout": 1.5,
        "max-retries": 30,
        "max-backoff": 0.2,
    }
    return ["teach", "--teacher", "openai", *(part for k, v in options.items() for part in (f"--{k}", v))]


@pytest.mark.parametrize(
    ("completions", "kills"), [(100, 1), pytest.param(5100, 3, marks=pytest.mark.slow)], ids=["100", "5100"]
)
def test_every_fault_and_three_kills(completions: int, kills: int, tmp_path: Path) -> None:
    with (
        faulty_server() as served,
        ftcot(*arguments(served, completions), saved_dir=tmp_path / "whole") as process,
    ):
        whole = Path(finish(process)["path"])
        needed = served.counts()["billed"]
    path = tmp_path / "killed" / whole.relative_to(tmp_path / "whole")
    journal, moments = journal_path(path), random.Random(0)
    with faulty_server(faults=0.1, seed=1) as served:
        for kill in range(kills):
            with ftcot(*arguments(served, completions), saved_dir=tmp_path / "killed") as process:
                # the kills are spread over the run, each somewhere in its part
                target = whole.stat().st_size * (kill + moments.random()) / (kills + 1)
                wait_until(lambda target=target: size_of(journal) >= target, process)  # type: ignore[misc]
                process.kill()
                process.wait()
            time.sleep(0.5)  # until the server has noticed
        assert journal.exists()
        with ftcot(*arguments(served, completions), saved_dir=tmp_path / "killed") as process:
            result = finish(process, patience=1200.0)
        counts = served.counts()
    assert result["reused"] > 0
    assert (result["reused"] + result["completed"], result["failed"]) == (completions, 0)
    assert without_requests(path) == without_requests(whole)
    assert counts["billed"] <= needed * 1.02 + kills * CONCURRENCY
    assert all(counts[fault] for fault in FAULTS)
