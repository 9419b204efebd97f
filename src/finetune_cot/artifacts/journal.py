"""An append-only journal: one record a line, each with its checksum."""

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.files import write_text_atomic
from finetune_cot.errors import ArtifactError


@dataclass(frozen=True)
class JournalContent:
    """What a journal holds."""

    header: Mapping[str, Any]
    """What the run that began it was about."""
    records: tuple[Mapping[str, Any], ...]
    starts: tuple[int, ...]
    """Where the line of each record begins, in bytes."""
    size: int
    """Bytes up to the end of the last whole record."""


def begin_journal(path: Path, header: Mapping[str, Any]) -> None:
    """Make a journal that holds its header alone.

    Raises:
        ArtifactError: it cannot be written.
    """
    write_text_atomic(path, _line(header))


def append_records(
    path: Path, size: int, records: Iterable[Mapping[str, Any]], *, synchronize: bool = True
) -> list[int]:
    """Add records with one write; they survive a kill of this process once it returns.

    Args:
        path: An existing journal.
        size: Bytes of whole records; what a killed run left after them is cut off.
        records: JSON objects.
        synchronize: Whether to wait until they are on the disk, so that they survive a power cut too.

    Returns:
        Where the line of each record begins, in bytes, and at last the new size.

    Raises:
        ArtifactError: they cannot be written; the earlier records are untouched.
    """
    lines = [_line(record).encode() for record in records]
    places = list(accumulate(map(len, lines), initial=size))
    try:
        with path.open("r+b") as file:
            file.truncate(size)
            file.seek(size)
            file.write(b"".join(lines))
            file.flush()
            if synchronize:
                os.fsync(file.fileno())
    except OSError as error:
        raise ArtifactError(
            f"cannot be written: {error.strerror}",
            where=path,
            remedy="what is in it is kept; free some space and run the command again",
        ) from error
    return places


def read_journal(path: Path) -> JournalContent:
    """Read a journal; a last line that a kill cut short counts as not written.

    Raises:
        ArtifactError: a line before the last is damaged; names it.
    """
    end = path.stat().st_size
    records: list[Mapping[str, Any]] = []
    starts = [0]
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            record = parse_line(line)
            if record is None and starts[-1] + len(line) < end:
                raise ArtifactError(
                    "is damaged: the line is not what was written",
                    where=f"{path}, line {number}",
                    remedy="restore the file, or remove the line to have its completion asked for again",
                )
            if record is None:
                break
            records.append(record)
            starts.append(starts[-1] + len(line))
    if not records:
        raise ArtifactError("has no header", where=path, remedy="remove it and run the command again")
    return JournalContent(records[0], tuple(records[1:]), tuple(starts[1:-1]), starts[-1])


def _line(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def parse_line(line: bytes) -> Mapping[str, Any] | None:
    """The record of a line; None where it is not what was written, or not all of it."""
    if not line.endswith(b"\n"):
        return None
    checksum, _, text = line[:-1].partition(b" ")
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    record: Mapping[str, Any] = json.loads(text)
    return record
