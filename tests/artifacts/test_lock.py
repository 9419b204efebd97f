"""One run at a time: real processes, ended in every way."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetune_cot.artifacts import lock
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.errors import ArtifactError

HOLD = """
import sys
from pathlib import Path
from finetune_cot.artifacts.lock import artifact_lock
with artifact_lock(Path(sys.argv[1]), "teach"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input ends."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "D_gsm8k.json"
    with holder(path) as other:
        told = rf"D_gsm8k\.json: is in use by `ftcot teach` \(process {other.pid} on .*, since 20..-"
        with pytest.raises(ArtifactError, match=told), artifact_lock(path, "evaluate"):
            pass
        with artifact_lock(tmp_path / "other.json", "evaluate"):
            pass


def test_an_ended_holder_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with holder(path) as other:
        other.communicate()
        with artifact_lock(path, "teach"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with holder(path) as other:
        other.kill()
        other.wait()
        assert [file.name for file in tmp_path.iterdir()] == [".a.json.lock"]
        with artifact_lock(path, "teach"):
            held = json.loads((tmp_path / ".a.json.lock").read_text())
            assert held["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_waiting_for_another(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with holder(path) as other:
        assert other.stdin is not None
        with pytest.raises(ArtifactError, match="is in use"), artifact_lock(path, "train", wait_seconds=0.1):
            pass
        other.stdin.close()
        with artifact_lock(path, "train", wait_seconds=60):
            pass


def test_a_failure_inside_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(RuntimeError), artifact_lock(path, "teach"):
        raise RuntimeError
    with artifact_lock(path, "teach"):
        pass
    with pytest.raises(RuntimeError), artifact_lock(tmp_path / "new" / "folder" / "a.json", "teach"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock.os, "pwrite", full)
    with (
        pytest.raises(
            ArtifactError, match=r"a\.json: cannot be locked for writing: No space left.*free some"
        ),
        artifact_lock(tmp_path / "new" / "a.json", "teach"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "saved").touch()
    with (
        pytest.raises(ArtifactError, match=r"cannot be locked for writing.*--saved-dir"),
        artifact_lock(tmp_path / "saved" / "a.json", "teach"),
    ):
        pass


def test_many_processes_never_hold_it_together(tmp_path: Path) -> None:
    """Each reads a number, waits, and writes it plus one: any overlap would lose a step."""
    count = tmp_path / "count"
    count.write_text("0")
    code = """
import sys, time
from pathlib import Path
from finetune_cot.artifacts.lock import artifact_lock
path = Path(sys.argv[1])
for _ in range(5):
    with artifact_lock(path, "train", wait_seconds=60):
        number = int(path.read_text())
        time.sleep(0.002)
        path.write_text(str(number + 1))
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, str(count)]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert count.read_text() == "20"
