"""Programs run on a terminal of their own."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 120


def on_terminal(
    command: Sequence[str],
    columns: int = 80,
    dialogue: Sequence[tuple[str, str]] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[int, str]:
    """Exit code of a command, and all that it writes to a terminal so wide.

    Args:
        command: The program and its words.
        columns: Width of the terminal.
        dialogue: What is waited for in what it writes, and what is then typed, in turn.
        environment: The environment; by default that of the tests, with a terminal of many colours.
        folder: Where it runs.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    settings = {**os.environ, "TERM": "xterm-256color"} if environment is None else dict(environment)
    for name in ("COLUMNS", "LINES"):
        settings.pop(name, None)
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=settings,
        cwd=folder,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown, seen, deadline, to_come = b"", 0, time.monotonic() + SECONDS, list(dialogue)
    while part := _read(ours, deadline):
        shown += part
        if to_come and to_come[0][0].encode() in shown[seen:]:
            seen = len(shown)
            os.write(ours, to_come.pop(0)[1].encode())
    assert not to_come, shown
    os.close(ours)
    return process.wait(SECONDS), shown.decode(errors="replace").replace("\r\n", "\n")


def _read(terminal: int, deadline: float) -> bytes:
    """What comes next; nothing at the end."""
    ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
    if not ready:
        raise TimeoutError("the program wrote nothing and did not end")
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way to say that nobody holds the other end any more
        return b""
