"""``results.csv``: losses by subset of tasks, in columns ``Data indices``, ``loss``, ``loss_<task>``...

Estimates may add how sure they are, in columns ``std`` and ``std_<task>``; measurements how long they took.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finetune_cot.artifacts.files import write_text_atomic
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.errors import ArtifactError

INDICES = "Data indices"
_LOSS, _STD, _SECONDS = "loss", "std", "seconds"
_TOTALS = (INDICES, _LOSS, _STD, _SECONDS)
"""Columns that are of no task."""
WAIT_SECONDS = 60.0
"""How long to wait for another run that adds a row just now."""


@dataclass(frozen=True)
class ResultRow:
    """Dev losses of a model trained on some tasks, in nats a token; measured, or estimated."""

    task_indices: tuple[int, ...]
    loss: float
    loss_by_task: Mapping[str, float]
    std: float | None = None
    """Standard deviation of an estimated loss, in nats a token; None where it is not known."""
    std_by_task: Mapping[str, float] = field(default_factory=dict)
    """The same by task; tasks may be missing."""
    seconds: float | None = None
    """Wall time of the fine-tuning that was measured."""


def append_result(path: Path, row: ResultRow) -> None:
    """Add a row; several runs may do so at once.

    Raises:
        ArtifactError: the table is of another form, or cannot be written.
    """
    with artifact_lock(path, "results", wait_seconds=WAIT_SECONDS):
        rows = [*(read_results(path) if path.exists() else []), row]
        write_text_atomic(path, _table(rows))


def write_results(path: Path, rows: Iterable[ResultRow]) -> None:
    """Write a whole table in place of what is there; a kill leaves the old one or the new one.

    Raises:
        ArtifactError: it cannot be written, or another run holds it for longer than a minute.
    """
    text = _table(list(rows))
    with artifact_lock(path, "results", wait_seconds=WAIT_SECONDS):
        write_text_atomic(path, text)


def read_results(path: Path) -> list[ResultRow]:
    """Read a table, with or without columns of standard deviations.

    Raises:
        ArtifactError: it is missing or of another form; names the line.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except FileNotFoundError:
        raise ArtifactError("is not there", where=path) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ArtifactError(f"is no table: {error}", where=path) from None
    if not lines or lines[0][:2] != [INDICES, _LOSS]:
        raise ArtifactError(f"does not begin with the columns {INDICES!r}, {_LOSS!r}", where=path)
    columns = lines[0]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            rows.append(_row(dict(zip(columns, line, strict=True))))
        except (ValueError, IndexError):
            raise ArtifactError("is no row of results", where=f"{path}, line {number}") from None
    return rows


def _table(rows: Sequence[ResultRow]) -> str:
    tasks = sorted({task for item in rows for task in item.loss_by_task})
    unsure = sorted({task for item in rows for task in item.std_by_task})
    has_std = bool(unsure) or any(item.std is not None for item in rows)
    header = [INDICES, _LOSS, *(f"{_LOSS}_{task}" for task in tasks)]
    header += [_STD, *(f"{_STD}_{task}" for task in unsure)] if has_std else []
    timed = any(item.seconds is not None for item in rows)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header + [_SECONDS] * timed)
    for item in rows:
        indices = " ".join(map(str, item.task_indices))
        losses = [item.loss, *(item.loss_by_task.get(task, "") for task in tasks)]
        stds = [item.std, *(item.std_by_task.get(task, "") for task in unsure)] if has_std else []
        writer.writerow([indices, *losses, *stds, *[item.seconds] * timed])
    return text.getvalue()


def _row(values: Mapping[str, str]) -> ResultRow:
    by_task = {column: float(value) for column, value in values.items() if value and column not in _TOTALS}
    return ResultRow(
        task_indices=tuple(map(int, values[INDICES].split())),
        loss=float(values[_LOSS]),
        loss_by_task={
            column.removeprefix(f"{_LOSS}_"): value
            for column, value in by_task.items()
            if not column.startswith(f"{_STD}_")
        },
        std=float(values[_STD]) if values.get(_STD) else None,
        std_by_task={
            column.removeprefix(f"{_STD}_"): value
            for column, value in by_task.items()
            if column.startswith(f"{_STD}_")
        },
        seconds=float(values[_SECONDS]) if values.get(_SECONDS) else None,
    )
