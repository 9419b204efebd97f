"""Files and folders that are there whole or not at all."""

import contextlib
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from finetune_cot.errors import ArtifactError

_TEMPORARY = ".tmp-"
_OLD = ".old-"
_RESTORE = "restore it, or remove it and run the command that wrote it again"


def write_text_atomic(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a kill, sees the old content or the new, nothing between.

    Raises:
        ArtifactError: the folder cannot be written to, or the disk is full; the old file is untouched.
    """
    with write_file_atomic(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def write_file_atomic(path: Path) -> Iterator[BinaryIO]:
    """A new file to write bytes into, which takes the place of ``path`` when all went well.

    Raises:
        ArtifactError: the folder cannot be written to, or the disk is full; the old file is untouched.
    """
    with _told(path), folder_of(path):
        _remove_leftovers(path)
        temporary = _sibling(path, _TEMPORARY)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)


def write_json_atomic(path: Path, value: Any) -> None:
    """Write JSON as `write_text_atomic` does.

    Raises:
        ArtifactError: it cannot be written.
    """
    write_text_atomic(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


@contextlib.contextmanager
def write_directory_atomic(path: Path) -> Iterator[Path]:
    """A new folder to write into, which takes the place of ``path`` when all went well.

    A kill leaves the old folder or the new one; `recover_directory` mends the moment between.

    Raises:
        ArtifactError: it cannot be written.
    """
    with _told(path), folder_of(path):
        recover_directory(path)
        temporary = _sibling(path, _TEMPORARY)
        temporary.mkdir()
        try:
            yield temporary
            for file in temporary.rglob("*"):
                _sync(file)
            _sync(temporary)
            old = _sibling(path, _OLD)
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            _sync_folder(path.parent)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def folder_of(path: Path) -> Iterator[None]:
    """Make the folder that a path lies in; when what follows fails, folders that were new are gone again.

    Raises:
        OSError: it cannot be made.
    """
    new = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in new:
            with contextlib.suppress(OSError):  # others may have put something into it
                folder.rmdir()
        raise


def recover_directory(path: Path) -> None:
    """Put back a folder whose replacement was killed between two renames; remove what killed runs left."""
    for old in sorted(_leftovers(path, _OLD)):
        if not path.exists():
            old.rename(path)
    _remove_leftovers(path)


def did_you_mean(path: Path) -> str:
    """The name beside a path that is not there which is most like its own, as a question; empty for none."""
    names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    close = get_close_matches(path.name, names, n=1)
    return f"did you mean {close[0]}? " if close else ""


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        ArtifactError: the file is missing, or no whole JSON; names the line and column.
    """
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        remedy = f"{did_you_mean(path)}check the key, or --saved-dir"
        raise ArtifactError("is not there", where=path, remedy=remedy) from None
    except OSError as error:
        remedy = "see what lies there, and that you may read it"
        raise ArtifactError(f"cannot be read ({error.strerror})", where=path, remedy=remedy) from None
    except json.JSONDecodeError as error:
        raise ArtifactError(
            f"is torn or no JSON: {error.msg}",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            remedy=_RESTORE,
        ) from None
    except UnicodeDecodeError:
        raise ArtifactError("is no UTF-8 text", where=path, remedy=_RESTORE) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or depth without end
        raise ArtifactError(f"is no JSON that can be read: {error}", where=path, remedy=_RESTORE) from None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value, whatever its layout."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a line that says what to do."""
    try:
        yield
    except OSError as error:
        remedies = {28: "free some space and run the command again", 13: "choose another --saved-dir"}
        raise ArtifactError(
            f"cannot be written: {error.strerror}",
            where=path,
            remedy=remedies.get(error.errno or 0, "see that the folder can be written to"),
        ) from error


def _sibling(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}{kind}{os.getpid()}")


def _leftovers(path: Path, kind: str) -> Iterator[Path]:
    """What earlier runs left beside a path; not what another run is writing just now."""
    for leftover in path.parent.glob(glob.escape(f".{path.name}{kind}") + "*"):
        writer = leftover.name.rpartition("-")[2]
        if writer.isdecimal() and (int(writer) == os.getpid() or not _runs(int(writer))):
            yield leftover


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _remove_leftovers(path: Path) -> None:
    for kind in (_TEMPORARY, _OLD):
        for leftover in _leftovers(path, kind):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    # Not every file system can synchronize a folder; the rename itself is atomic all the same.
    with contextlib.suppress(OSError):
        _sync(folder)
