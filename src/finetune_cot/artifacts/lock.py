"""One run at a time on an artifact; the second is told who holds it."""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from finetune_cot.artifacts.files import folder_of
from finetune_cot.errors import ArtifactError, InUseError

_PAUSE = 0.05
"""Seconds between two tries."""


@contextlib.contextmanager
def artifact_lock(path: Path, command: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold an artifact for writing; the system frees it when the process ends, however it ends.

    Args:
        path: The artifact's path; the lock is a hidden file beside it.
        command: The ``ftcot`` command that holds it, for the message to others.
        wait_seconds: How long to wait for another holder.

    Raises:
        InUseError: another process holds the artifact.
        ArtifactError: its folder cannot be written to.
    """
    lock = path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(folder_of(path))
            descriptor = _acquire(lock, path, time.monotonic() + wait_seconds)
            stack.callback(_release, lock, descriptor)
            _sign(descriptor, command)
        except OSError as error:
            raise ArtifactError(
                f"cannot be locked for writing: {error.strerror}",
                where=path,
                remedy="free some space, or choose another --saved-dir",
            ) from None
        yield


def _sign(descriptor: int, command: str) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": command,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _release(lock: Path, descriptor: int) -> None:
    lock.unlink(missing_ok=True)
    os.close(descriptor)


def _acquire(lock: Path, path: Path, deadline: float) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                os.close(descriptor)
                time.sleep(_PAUSE)
                continue
            message = f"is in use by {_holder(descriptor)}"
            os.close(descriptor)
            remedy = "wait for it to finish, or stop it"
            raise InUseError(message, where=path, remedy=remedy) from None
        # The last holder may have removed the file between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == lock.stat().st_ino:
                return descriptor
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
    except json.JSONDecodeError:
        return "another run"
    return "`ftcot {command}` (process {pid} on {host}, since {since})".format(**holder)
