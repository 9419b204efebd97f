"""Word of long work on standard error: a bar on a terminal, a plain line now and then otherwise."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

SECONDS_BETWEEN_LINES = 10.0
NARROW, WIDE = 46, 78
"""Width of a terminal from which progress also tells what is being done, and has a bar and the rate."""
_HUSHED: ContextVar[bool] = ContextVar("hushed", default=False)


@contextlib.contextmanager
def progress(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how far some work is, with its rate and the time that remains.

    Args:
        description: What is being done.
        total: How much there is to do.
        unit: What is counted, in the plural.

    Yields:
        A function to call with how much is done.
    """
    show = _nothing if _HUSHED.get() else _bar if can_draw(sys.stderr) else _lines
    with show(description, total, unit) as update:
        yield update


def can_draw(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which more can be done than to write lines."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def say(message: str) -> None:
    """Tell something in passing, on standard error."""
    if _HUSHED.get():
        return
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Say nothing: another process tells the same."""
    token = _HUSHED.set(True)
    try:
        yield
    finally:
        _HUSHED.reset(token)


@contextlib.contextmanager
def _nothing(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


@contextlib.contextmanager
def _bar(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(*_columns(console.width), console=console) as bar:
        task = bar.add_task(description, total=total, rate="")
        pace = _Pace()

        def update(done: int) -> None:
            bar.update(task, completed=done, rate=f"{_three_digits(pace.rate(done))} {unit}/s")

        yield update


def _columns(width: int) -> list["ProgressColumn"]:
    """What a line of so many characters has room for; how much is done, and the time left, always."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    # Rich shortens columns that may wrap before others.
    left = TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True))
    columns: list[ProgressColumn] = [MofNCompleteColumn(table_column=Column(no_wrap=True)), left]
    if width >= NARROW:
        columns.insert(0, TextColumn("{task.description}"))
    if width >= WIDE:
        columns[1:1] = [BarColumn()]
        columns.insert(3, TextColumn("{task.fields[rate]}"))
    return columns


def _three_digits(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"


@contextlib.contextmanager
def _lines(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    pace = _Pace()
    last = pace.started

    def update(done: int) -> None:
        nonlocal last
        now, rate = time.monotonic(), pace.rate(done)
        if now - last >= SECONDS_BETWEEN_LINES or done >= total:
            last = now
            remaining = f", {(total - done) / rate:.0f} s left" if 0 < done < total and rate else ""
            pace_told = f", {_three_digits(rate)}/s" if rate else ""
            say(f"{description}: {done}/{total} {unit}{pace_told}{remaining}")

    yield update


class _Pace:
    """How fast work goes, not counting what was done before it was resumed."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._first: int | None = None

    def rate(self, done: int) -> float:
        """Units a second since the first update."""
        if self._first is None:
            self._first = done
        return (done - self._first) / max(time.monotonic() - self.started, 1e-9)
