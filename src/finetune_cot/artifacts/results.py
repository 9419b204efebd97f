"""``results.csv``: losses by subset of tasks, in columns ``Data indices``, ``loss``, ``loss_<task>``..."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune_cot.artifacts.files import write_text_atomic
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.errors import ArtifactError

INDICES = "Data indices"
WAIT_SECONDS = 60.0
"""How long to wait for another run that adds a row just now."""


@dataclass(frozen=True)
class ResultRow:
    """Dev losses of a model trained on some tasks, in nats a token."""

    task_indices: tuple[int, ...]
    loss: float
    loss_by_task: Mapping[str, float]


def append_result(path: Path, row: ResultRow) -> None:
    """Add a row; several runs may do so at once.

    Raises:
        ArtifactError: the table is of another form, or cannot be written.
    """
    with artifact_lock(path, "results", wait_seconds=WAIT_SECONDS):
        rows = [*(read_results(path) if path.exists() else []), row]
        write_text_atomic(path, _table(rows))


def _table(rows: Sequence[ResultRow]) -> str:
    tasks = sorted({task for item in rows for task in item.loss_by_task})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([INDICES, "loss", *(f"loss_{task}" for task in tasks)])
    for item in rows:
        indices = " ".join(map(str, item.task_indices))
        writer.writerow([indices, item.loss, *(item.loss_by_task.get(task, "") for task in tasks)])
    return text.getvalue()


def read_results(path: Path) -> list[ResultRow]:
    """Read a table.

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
    if not lines or lines[0][:2] != [INDICES, "loss"]:
        raise ArtifactError(f"does not begin with the columns {INDICES!r}, 'loss'", where=path)
    tasks = [column.removeprefix("loss_") for column in lines[0][2:]]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            indices = tuple(map(int, line[0].split()))
            by_task = {task: float(value) for task, value in zip(tasks, line[2:], strict=True) if value}
            rows.append(ResultRow(indices, float(line[1]), by_task))
        except (ValueError, IndexError):
            raise ArtifactError("is no row of results", where=f"{path}, line {number}") from None
    return rows
