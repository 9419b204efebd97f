"""The gradient store: features of every sample at every point, in shards, memory-mapped.

::

    store.json              header: layout, and what the store was made of
    shards/000000.safetensors
    samples.safetensors     the shards' per-sample numbers together, and their checksums; written last, so its
                            presence means done
"""

import contextlib
import functools
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from finetune_cot.artifacts.gradient_header import (
    HEADER_FILE,
    StoreHeader,
    check_origin,
    check_same,
    read_header,
    write_header,
)
from finetune_cot.artifacts.gradient_shards import (
    SampleRows,
    fingerprint,
    map_shard,
    read_features,
    shard_path,
    shard_positions,
    write_shard,
)
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.tensor_file import TensorFile, checksum_of_data, map_tensors, write_tensors
from finetune_cot.errors import ArtifactError

__all__ = [
    "GradientStore",
    "SampleRows",
    "StoreHeader",
    "begin_store",
    "finish_store",
    "missing_shards",
    "open_store",
    "shard_path",
    "shard_positions",
    "write_shard",
    "writing_store",
]

_SAMPLES_FILE = "samples.safetensors"
_MAPPED_SHARDS = 4
"""Shards mapped at a time: what bounds the resident memory of reading a store."""
_CHECKSUMS = "shard_checksums"
_PER_SAMPLE = ("sample_index", "task", "tokens", "losses", "margins", "is_dev")
_REMEDY = "run `ftcot grads` again: shards that are done are kept"


@dataclass(frozen=True)
class GradientStore:
    """A finished store. Per-sample numbers are mapped whole; features are read where they are asked for."""

    header: StoreHeader
    sample_index: Int[np.ndarray, " samples"]
    task: Int[np.ndarray, " samples"]
    """Task numbers: places in the header's sorted task names."""
    is_dev: Bool[np.ndarray, " samples"]
    tokens: Int[np.ndarray, " samples"]
    """Label tokens."""
    losses: Float[np.ndarray, "samples points"]
    """Means over label tokens, in nats."""
    margins: Float[np.ndarray, "samples points"]
    displacement: Float[np.ndarray, "points width"]
    """Projected trainable weights at each point, minus those at the first point."""
    weight_norms: Float[np.ndarray, " points"]
    """Norms of the trainable weights at each point."""
    _shard: Callable[[int], TensorFile] = field(repr=False)

    def features(self, rows: slice | np.ndarray[Any, Any], point: int) -> Float[np.ndarray, "rows width"]:
        """Features of some samples at one point, in float32 and in the order asked for.

        Args:
            rows: Positions, a mask over all samples, or a slice.
            point: Place of the point in the header's ``points``.

        Raises:
            ArtifactError: a shard is missing or torn.
        """
        positions = np.arange(self.header.samples)[rows]
        out = np.empty((len(positions), self.header.width), np.float32)
        numbers = positions // self.header.shard_samples
        order = np.argsort(numbers, kind="stable")
        starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
        for places in np.split(order, starts[1:]) if len(order) else ():
            number = int(numbers[places[0]])
            within = positions[places] - number * self.header.shard_samples
            out[places] = read_features(self._shard(number), within, point)
        return out


@contextlib.contextmanager
def writing_store(
    folder: Path, header: StoreHeader, command: str = "grads", *, replace: bool = False
) -> Iterator[tuple[int, ...]]:
    """Hold a store for writing, begin it or go on with it, and tell which shards are to be made.

    With ``replace`` it begins anew, whatever is there. With several ranks the first one holds the store; the
    others only call `write_shard`.

    Raises:
        ArtifactError: another run holds the store, or it was made of something else.
    """
    with artifact_lock(folder, command):
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        begin_store(folder, header)
        yield missing_shards(folder, header)


def begin_store(folder: Path, header: StoreHeader) -> None:
    """Begin a store, or check that the one begun earlier is the same.

    Raises:
        ArtifactError: the store there was made of something else (names what differs), or the folder cannot
            be written to.
    """
    if (folder / HEADER_FILE).exists():
        check_same(folder, read_header(folder), header)
    else:
        write_header(folder, header)


def missing_shards(folder: Path, header: StoreHeader) -> tuple[int, ...]:
    """Numbers of the shards that are to be made: not there, torn, edited, or of another store or run.

    Reads every byte of the shards that are there, in constant memory.
    """
    missing, recorded = [], None
    with contextlib.suppress(ArtifactError):
        recorded = map_tensors(folder / _SAMPLES_FILE, _REMEDY).tensors.get(_CHECKSUMS)
    for number in range(header.shards):
        try:
            _map_own(folder, header, recorded, number, verify=True)
        except ArtifactError:
            missing.append(number)
    return tuple(missing)


def finish_store(
    folder: Path,
    header: StoreHeader,
    displacement: Float[np.ndarray, "points width"],
    weight_norms: Float[np.ndarray, " points"],
) -> None:
    """Gather the shards' per-sample numbers; from here on the store can be opened.

    Args:
        folder: The store's folder.
        header: The header that it was begun with.
        displacement: Projected trainable weights at each point minus those at the first.
        weight_norms: Norms of the trainable weights at each point.

    Raises:
        ArtifactError: a shard is missing or torn, or the disk is full.
    """
    columns: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in _PER_SAMPLE}
    checksums = np.empty((header.shards, 32), np.uint8)
    for number in range(header.shards):
        shard = map_shard(folder, header, number, verify=True)
        checksums[number] = _digest(shard)
        for name, kept in columns.items():
            kept.append(np.array(shard.tensors[name]))
    whole = {name: np.concatenate(kept) for name, kept in columns.items()}
    whole["displacement"] = np.asarray(displacement, np.float32)
    whole["weight_norms"] = np.asarray(weight_norms, np.float32)
    whole[_CHECKSUMS] = checksums
    write_tensors(folder / _SAMPLES_FILE, whole, {"header": fingerprint(header)})


def open_store(
    folder: Path, expected_origin: Mapping[str, str] | None = None, verify: bool = True
) -> GradientStore:
    """Open a finished store, in memory that does not grow with its size.

    Args:
        folder: The store's folder.
        expected_origin: What it must have been made of, by name.
        verify: Whether every byte of it is compared with its checksum.

    Raises:
        ArtifactError: it is missing, unfinished, torn, edited, or was made of something else.
    """
    if not (folder / HEADER_FILE).is_file():
        raise ArtifactError("there are no gradients", where=folder, remedy="run `ftcot grads` first")
    header = read_header(folder)
    check_origin(folder, header.origin, expected_origin or {})
    path = folder / _SAMPLES_FILE
    if not path.is_file():
        raise ArtifactError("is unfinished", where=folder, remedy=_REMEDY)
    samples = map_tensors(path, _REMEDY)
    if samples.metadata.get("header") != fingerprint(header):
        raise ArtifactError("is of another store", where=path, remedy=_REMEDY)
    recorded = samples.tensors.get(_CHECKSUMS)
    if verify:
        if checksum_of_data(path) != samples.checksum:
            raise ArtifactError("is torn or was edited: its checksum differs", where=path, remedy=_REMEDY)
        for number in range(header.shards):
            _map_own(folder, header, recorded, number, verify=True)
    shard = functools.lru_cache(_MAPPED_SHARDS)(functools.partial(_map_own, folder, header, recorded))
    columns = {name: samples.tensors[name] for name in (*_PER_SAMPLE, "displacement", "weight_norms")}
    return GradientStore(header=header, _shard=shard, **columns)


def _map_own(
    folder: Path,
    header: StoreHeader,
    recorded: np.ndarray[Any, Any] | None,
    number: int,
    *,
    verify: bool = False,
) -> TensorFile:
    """A shard, which has to be the one that was there when the store was finished, where that is recorded."""
    shard = map_shard(folder, header, number, verify=verify)
    if recorded is not None and not np.array_equal(recorded[number], _digest(shard)):
        raise ArtifactError("is a shard of another run", where=shard_path(folder, number), remedy=_REMEDY)
    return shard


def _digest(shard: TensorFile) -> np.ndarray[Any, Any]:
    """The checksum that a shard states of itself, as bytes."""
    return np.frombuffer(bytes.fromhex(shard.checksum), np.uint8)
