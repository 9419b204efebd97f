"""Shards of a gradient store: a run of samples each, in one file that is there whole or not at all.

Shard k holds the samples at positions k * shard_samples to (k + 1) * shard_samples, whoever computed them and
in whatever batches; so the shards of several ranks are those of a single process.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from finetune_cot.artifacts.files import sha256_json
from finetune_cot.artifacts.gradient_header import StoreHeader
from finetune_cot.artifacts.tensor_file import TensorFile, checksum_of_data, map_tensors, write_tensors
from finetune_cot.errors import ArtifactError

_LARGEST_EXPONENT = 15
"""Rows of float16 are scaled to below 2^15: the type ends at 65,504, and small numbers are not to flush."""
_SMALLEST_SCALE = -126
_HEADER = "header"


@dataclass(frozen=True)
class SampleRows:
    """What a shard holds of its samples, in the order of their positions."""

    features: Float[np.ndarray, "points samples width"]
    """Projected gradients, float32."""
    sample_index: Int[np.ndarray, " samples"]
    task: Int[np.ndarray, " samples"]
    """Task numbers: places in the header's sorted task names."""
    is_dev: Bool[np.ndarray, " samples"]
    tokens: Int[np.ndarray, " samples"]
    """Label tokens."""
    losses: Float[np.ndarray, "samples points"]
    """Means over label tokens, in nats."""
    margins: Float[np.ndarray, "samples points"]


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / "shards" / f"{number:06}.safetensors"


def shard_positions(header: StoreHeader, number: int) -> range:
    """Positions of the samples that a shard holds; none where the store has no such shard."""
    return range(header.samples)[number * header.shard_samples :][: header.shard_samples]


def write_shard(folder: Path, header: StoreHeader, number: int, rows: SampleRows) -> None:
    """Write one shard; several processes may write different shards, or the same, at once.

    Raises:
        ArtifactError: a number is not finite (names the sample), the rows are not those of this shard, or the
            disk is full; shards that are done stay.
    """
    where = shard_path(folder, number)
    _check_sizes(header, number, rows, where)
    _check_finite(header, rows, where)
    features, scales = _stored(np.asarray(rows.features, np.float32), header.dtype)
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "sample_index": np.asarray(rows.sample_index, np.int64),
        "task": np.asarray(rows.task, np.int32),
        "tokens": np.asarray(rows.tokens, np.int32),
        "losses": np.asarray(rows.losses, np.float32),
        "margins": np.asarray(rows.margins, np.float32),
        "scales": scales,
        "features": features,
        "is_dev": np.asarray(rows.is_dev, np.bool_),
    }
    write_tensors(where, tensors, {_HEADER: fingerprint(header)})


def map_shard(folder: Path, header: StoreHeader, number: int, *, verify: bool = False) -> TensorFile:
    """Map a shard's arrays.

    Args:
        folder: The store's folder.
        header: The store's header.
        number: The shard's number.
        verify: Whether to compare all its bytes with its checksum.

    Raises:
        ArtifactError: it is missing, torn, edited, or of another store.
    """
    path = shard_path(folder, number)
    file = map_tensors(path, _REMEDY)
    if file.metadata.get(_HEADER) != fingerprint(header):
        raise ArtifactError("is a shard of another store", where=path, remedy=_REMEDY)
    expected = (len(header.points), len(shard_positions(header, number)), header.width)
    features = file.tensors.get("features")
    if features is None or features.shape != expected or features.dtype != np.dtype(header.dtype):
        raise ArtifactError("holds other features than the store says", where=path, remedy=_REMEDY)
    if verify and checksum_of_data(path) != file.checksum:
        raise ArtifactError("is torn or was edited: its checksum differs", where=path, remedy=_REMEDY)
    return file


def read_features(
    file: TensorFile, rows: Int[np.ndarray, " rows"], point: int
) -> Float[np.ndarray, "rows width"]:
    """Features of some rows of a shard, in float32."""
    features: Float[np.ndarray, "rows width"] = file.tensors["features"][point][rows].astype(np.float32)
    features *= file.tensors["scales"][point][rows][:, None]
    return features


def fingerprint(header: StoreHeader) -> str:
    """SHA-256 of a header."""
    return sha256_json(asdict(header))


_REMEDY = "run `ftcot grads` again: it remakes this shard and keeps the others"


def _stored(
    features: Float[np.ndarray, "points samples width"], dtype: str
) -> tuple[np.ndarray[Any, Any], Float[np.ndarray, "points samples"]]:
    """Features in the store's type, and what to multiply each row by: a power of two, hence without loss."""
    if dtype == "float32":
        return features, np.ones(features.shape[:2], np.float32)
    _, exponents = np.frexp(np.abs(features).max(axis=2, initial=0))
    exponents = np.maximum(exponents - _LARGEST_EXPONENT, _SMALLEST_SCALE)
    scaled = np.ldexp(features, -exponents[..., None])
    return scaled.astype(np.float16), np.ldexp(np.float32(1), exponents).astype(np.float32)


def _check_sizes(header: StoreHeader, number: int, rows: SampleRows, where: Path) -> None:
    samples, points = len(shard_positions(header, number)), len(header.points)
    sizes = {
        "features": (points, samples, header.width),
        "losses": (samples, points),
        "margins": (samples, points),
    }
    sizes |= dict.fromkeys(("sample_index", "task", "is_dev", "tokens"), (samples,))
    for name, size in sizes.items():
        found = getattr(rows, name).shape
        if found != size or not samples:
            raise ArtifactError(f"{name} of shard {number} have shape {found}, not {size}", where=where)


def _check_finite(header: StoreHeader, rows: SampleRows, where: Path) -> None:
    finite = {
        "gradient": np.isfinite(rows.features).all(axis=2).T,
        "loss": np.isfinite(rows.losses),
        "margin": np.isfinite(rows.margins),
    }
    for name, good in finite.items():
        if not good.all():
            row, point = np.argwhere(~good)[0]
            sample = f"sample {rows.sample_index[row]} of task {header.tasks[rows.task[row]]}"
            raise ArtifactError(
                f"the {name} of {sample} at point {header.points[point]} is not a finite number",
                where=where,
                remedy="look at this sample; use --precision 32-true, or leave the sample out",
            )
