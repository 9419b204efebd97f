"""Files and folders are there whole or not at all, whatever happens while they are written."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_cot.artifacts import files
from finetune_cot.artifacts.files import (
    read_json,
    recover_directory,
    sha256_file,
    sha256_json,
    write_directory_atomic,
    write_json_atomic,
    write_text_atomic,
)
from finetune_cot.errors import ArtifactError

DEAD = 2**22 + 1
"""No process has this number: it is above the largest that Linux gives."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def killed(code: str, *arguments: object) -> None:
    """Run Python code that ends by killing itself."""
    ended = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def test_text_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text_atomic(path, "one\n")
    write_text_atomic(path, "zwei ü\n")
    assert path.read_bytes() == "zwei ü\n".encode()
    assert names(path.parent) == ["file.txt"]


def test_a_kill_before_the_rename_leaves_the_old_file_and_the_next_write_tidies_up(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text_atomic(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from finetune_cot.artifacts import files;"
        "files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL);"
        "files.write_text_atomic(Path(sys.argv[1]), 'new' * 10_000)"
    )
    killed(code, path)
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    write_text_atomic(path, "new")
    assert names(tmp_path) == ["file.txt"]
    assert path.read_text() == "new"


def test_what_another_run_is_writing_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f".file.txt.tmp-{os.getppid()}"
    dead = tmp_path / f".file.txt.tmp-{DEAD}"
    stranger = tmp_path / ".file.txt.tmp-notes"
    for path in (other, dead, stranger):
        path.touch()
    write_text_atomic(tmp_path / "file.txt", "")
    assert names(tmp_path) == sorted([other.name, stranger.name, "file.txt"])


def test_names_with_special_letters_do_not_reach_other_files(tmp_path: Path) -> None:
    other = tmp_path / f".ab.json.tmp-{DEAD}"
    other.touch()
    write_json_atomic(tmp_path / "a*.json", 1)
    assert other.exists()


def test_a_full_disk_is_told_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    write_text_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"file\.txt: cannot be written: No space left.*free some space"):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_folders_made_for_a_file_that_could_not_be_written_are_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left"):
        write_text_atomic(tmp_path / "a" / "b" / "file.txt", "new")
    assert names(tmp_path) == []


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "saved").touch()
    with pytest.raises(ArtifactError, match="cannot be written"):
        write_text_atomic(tmp_path / "saved" / "file.txt", "")


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for content in ("one", "two"):
        with write_directory_atomic(path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / f"{content}.txt").write_text(content)
            assert path.exists() == (content == "two")
    assert names(tmp_path) == ["model"]
    assert names(path / "sub") == ["two.txt"]


def test_a_failure_while_a_folder_is_filled_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with write_directory_atomic(path) as folder:
        (folder / "weights").write_text("old")
    with pytest.raises(RuntimeError), write_directory_atomic(path) as folder:  # noqa: PT012
        (folder / "weights").write_text("half")
        raise RuntimeError
    assert (path / "weights").read_text() == "old"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_at_any_of_the_renames_leaves_the_old_folder_or_the_new(tmp_path: Path, renames: int) -> None:
    path = tmp_path / "model"
    with write_directory_atomic(path) as folder:
        (folder / "weights").write_text("old")
    code = """
import os, signal, sys
from pathlib import Path
from finetune_cot.artifacts.files import write_directory_atomic
left, rename = [int(sys.argv[2])], Path.rename
def counted(self, target):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return rename(self, target)
Path.rename = counted
with write_directory_atomic(Path(sys.argv[1])) as folder:
    (folder / "weights").write_text("new")
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed(code, path, renames)
    recover_directory(path)
    assert names(tmp_path) == ["model"]
    assert (path / "weights").read_text() == ("new" if renames == 2 else "old")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": [1, 2', r"line 1, column 12: is torn or no JSON"),
        (b'{"a": 1}\n{"b": 2}', "line 2, column 1"),
        (b"", "line 1, column 1"),
        (b'"\xff"', "is no UTF-8 text"),
        (b"1" * 5000, "is no JSON that can be read"),
        (b"[" * 100_000, "is no JSON that can be read"),
    ],
)
def test_torn_json_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "half.json"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=message) as error:
        read_json(path)
    assert str(path) in str(error.value)


def test_json_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.json: is not there"):
        read_json(tmp_path / "none.json")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_json(tmp_path)


def test_hashes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(path) == known
    assert sha256_json({"b": 1, "a": ["ü"]}) == sha256_json({"a": ("ü",), "b": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 1.5})
