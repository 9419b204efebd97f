"""Unpacks archives of others: files only, at names that cannot lead out of the folder, of bounded size."""

import contextlib
import lzma
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from finetune_cot.errors import DataError

_FAILURES = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    RuntimeError,  # a member is encrypted, or compressed in a way that Python does not know
)
"""How torn archives, or such as cannot be read, make the readers fail."""

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to."""

    member_bytes: int = 4 * 2**30
    total_bytes: int = 64 * 2**30
    members: int = 1_000_000


@dataclass(frozen=True)
class _Member:
    name: str
    is_file: bool
    is_folder: bool
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Whether a file's name is that of an archive that can be unpacked."""
    return path.name.lower().endswith(SUFFIXES)


@contextlib.contextmanager
def unpacked(archive: Path, wanted: Callable[[str], bool], limits: Limits | None = None) -> Iterator[Path]:
    """A temporary folder with the wanted files of an archive.

    Args:
        archive: The archive.
        wanted: Says of a file's name in the archive whether it is wanted.
        limits: What it may unpack to.

    Raises:
        DataError: the archive is not there, is torn or too large, or holds a link, a device, or a name that
            leads out of the folder, wanted or not.
    """
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="ftcot-import-") as temporary:
        try:
            _unpack(archive, Path(temporary), wanted, limits)
        except _FAILURES as error:
            raise DataError(f"is torn or no archive that can be read: {error}", where=archive) from None
        except OSError as error:
            raise DataError(
                f"cannot be unpacked: {error.strerror or error}",
                where=archive,
                remedy="check the path; with TMPDIR you can name a folder with more room",
            ) from None
        yield Path(temporary)


def _unpack(archive: Path, folder: Path, wanted: Callable[[str], bool], limits: Limits) -> None:
    left = limits.total_bytes
    for number, member in enumerate(_members(archive)):
        where = f"{archive}: {member.name}"
        path = PurePosixPath(member.name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", member.name):
            raise DataError("leads out of the archive's folder: nothing was imported", where=where)
        if not (member.is_file or member.is_folder):
            raise DataError("is a link or a device: nothing was imported", where=where)
        if number >= limits.members:
            raise DataError(f"holds more than {limits.members} files", where=archive)
        if member.is_file and wanted(str(path)):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            allowed = min(left, limits.member_bytes)
            source = member.open()
            assert source is not None
            with source, target.open("wb") as file:
                left -= _copy(source, file, allowed, where)


def _copy(source: IO[bytes], target: IO[bytes], allowed: int, where: str) -> int:
    """Copy up to that many bytes; the size that an archive states of itself may be wrong."""
    copied = 0
    while piece := source.read(2**20):
        copied += len(piece)
        if copied > allowed:
            raise DataError(f"unpacks to more than {allowed} bytes: nothing was imported", where=where)
        target.write(piece)
    return copied


def _members(archive: Path) -> Iterator[_Member]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                plain = kind in (0, stat.S_IFREG)
                yield _Member(
                    info.filename,
                    is_file=plain and not info.is_dir(),
                    is_folder=info.is_dir() and kind in (0, stat.S_IFDIR),
                    open=partial(opened.open, info),
                )
    else:
        with tarfile.open(archive) as opened:
            for entry in opened:
                yield _Member(
                    entry.name,
                    is_file=entry.isreg(),
                    is_folder=entry.isdir(),
                    open=partial(opened.extractfile, entry),
                )
            # tarfile takes an archive that is cut between two members for a whole one.
            assert opened.fileobj is not None
            opened.fileobj.seek(opened.offset)
            if opened.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it ends early")
            while opened.fileobj.read(2**20):  # a compressed one has its checksum at the very end
                pass
