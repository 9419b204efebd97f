"""An append-only journal: one record a line, each with its checksum."""

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
) -> int:
    """Add records with one write; they survive a kill of this process once it returns.

    Args:
        path: An existing journal.
        size: Bytes of whole records; what a killed run left after them is cut off.
        records: JSON objects.
        synchronize: Whether to wait until they are on the disk, so that they survive a power cut too.

    Returns:
        The new size in bytes.

    Raises:
        ArtifactError: they cannot be written; the earlier records are untouched.
    """
    data = "".join(map(_line, records)).encode()
    try:
        with path.open("r+b") as file:
            file.truncate(size)
            file.seek(size)
            file.write(data)
            file.flush()
            if synchronize:
                os.fsync(file.fileno())
    except OSError as error:
        raise ArtifactError(
            f"cannot be written: {error.strerror}",
            where=path,
            remedy="what is in it is kept; free some space and run the command again",
        ) from error
    return size + len(data)


def read_journal(path: Path) -> JournalContent:
    """Read a journal; a last line that a kill cut short counts as not written.

    Raises:
        ArtifactError: a line before the last is damaged; names it.
    """
    data = path.read_bytes()
    records: list[Mapping[str, Any]] = []
    size = 0
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        record = _parse(line)
        end = size + len(line) + 1
        if record is None and end < len(data):
            raise ArtifactError(
                "is damaged: the line is not what was written",
                where=f"{path}, line {number}",
                remedy="restore the file, or remove the line to have its completion asked for again",
            )
        if record is None:
            break
        records.append(record)
        size = end
    if not records:
        raise ArtifactError("has no header", where=path, remedy="remove it and run the command again")
    return JournalContent(records[0], tuple(records[1:]), size)


def _line(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _parse(line: bytes) -> Mapping[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    record: Mapping[str, Any] = json.loads(text)
    return record
