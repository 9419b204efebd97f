"""Arrays in one safetensors file that knows its own checksum, read through a memory map.

Written and read here rather than by the library, because the checksum goes into the header while the arrays
go to the disk uncopied, and because the library copies what it reads. Its readers open these files.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune_cot.artifacts.files import write_file_atomic
from finetune_cot.errors import ArtifactError

_TYPES = {"F16": "<f2", "F32": "<f4", "I32": "<i4", "I64": "<i8", "U8": "u1", "BOOL": "?"}
_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8
_LARGEST_HEADER = 1 << 24
_CHUNK = 1 << 20
_CHECKSUM = "sha256"


@dataclass(frozen=True)
class TensorFile:
    """A file's arrays, mapped: only what is touched is read."""

    tensors: Mapping[str, np.ndarray[Any, Any]]
    metadata: Mapping[str, str]
    """Texts that were stored with the arrays."""
    checksum: str
    """SHA-256 that the arrays' bytes had when they were written."""


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str]
) -> str:
    """Write arrays whole or not at all; equal arrays and texts give equal bytes.

    Arrays lie in the order given; put those of the longest numbers first, so that all are aligned.

    Returns:
        SHA-256 of the arrays' bytes.

    Raises:
        ArtifactError: the disk is full, or the folder cannot be written to.
    """
    codes = {np.dtype(code): name for name, code in _TYPES.items()}
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    entries: dict[str, Any] = {}
    digest, end = hashlib.sha256(), 0
    for name, array in arrays.items():
        digest.update(_bytes(array))
        place = [end, end + array.nbytes]
        entries[name] = {"dtype": codes[array.dtype], "shape": array.shape, "data_offsets": place}
        end = place[1]
    checksum = digest.hexdigest()
    entries = {"__metadata__": {**metadata, _CHECKSUM: checksum}, **entries}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    with write_file_atomic(path) as file:
        file.write(_LENGTH.pack(len(header)) + header)
        for array in arrays.values():
            file.write(_bytes(array))
    return checksum


def map_tensors(path: Path, remedy: str) -> TensorFile:
    """Map a file's arrays, after checking that the file is as long as its header says.

    Args:
        path: The file.
        remedy: What to do where it cannot be used.

    Raises:
        ArtifactError: it is missing, torn, or of another form.
    """
    try:
        entries, start = _header(path)
        metadata = entries.pop("__metadata__")
        data = np.memmap(path, dtype=np.uint8, mode="r")[start:]
        tensors, end = {}, 0
        for name, entry in entries.items():
            first, last = entry["data_offsets"]
            dtype, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
            tensors[name] = data[first:last].view(dtype).reshape(shape)
            end = max(end, last)
        if end != data.size:
            raise ValueError("the file is of another length than its header says")
        return TensorFile(tensors, metadata, metadata[_CHECKSUM])
    except FileNotFoundError:
        raise ArtifactError("is missing", where=path, remedy=remedy) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        what = f"is torn or no file of arrays: {error}"
        raise ArtifactError(what, where=path, remedy=remedy) from None


def checksum_of_data(path: Path) -> str:
    """SHA-256 of the arrays' bytes as they are now, in constant memory.

    Raises:
        ArtifactError: the file is missing or torn.
    """
    try:
        _, start = _header(path)
        digest = hashlib.sha256()
        for chunk in _chunks(path, start):
            digest.update(chunk)
        return digest.hexdigest()
    except (OSError, ValueError, struct.error, RecursionError) as error:
        raise ArtifactError(f"is torn or no file of arrays: {error}", where=path) from None


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Entries by name, and where the arrays' bytes begin."""
    with path.open("rb") as file:
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        if length > _LARGEST_HEADER:
            raise ValueError("its header is too long")
        entries = json.loads(file.read(length))
    if not isinstance(entries, dict):
        raise ValueError("its header is no table")
    return entries, _LENGTH.size + length


def _chunks(path: Path, start: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(_CHUNK):
            yield chunk


def _bytes(array: np.ndarray[Any, Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
