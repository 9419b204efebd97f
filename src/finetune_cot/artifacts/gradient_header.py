"""What a gradient store was made of and how it is laid out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from finetune_cot.artifacts.files import read_json, write_json_atomic
from finetune_cot.errors import ArtifactError

SCHEMA_VERSION = 1
HEADER_FILE = "store.json"
_TEXTS = ("tasks", "points")


@dataclass(frozen=True)
class StoreHeader:
    """Layout and origin of a gradient store; two stores of equal headers hold the same numbers.

    Raises:
        ValueError: the type is unknown, or a shard would hold no sample.
    """

    width: int
    """Numbers per sample and point: d, or D for exact gradients."""
    project_dim: int
    """0 for exact gradients."""
    projection: str
    projection_seed: int
    parameters: int
    """Trainable weights, D."""
    points: tuple[str, ...]
    """Names of the points of the meta-training at which gradients were taken."""
    train_gradient: str
    """What was differentiated for train samples, "margin" or "loss"; for dev samples it is the loss."""
    dtype: Literal["float16", "float32"]
    tasks: tuple[str, ...]
    """Sorted names; a task's number is its place here."""
    samples: int
    shard_samples: int
    origin: Mapping[str, str]
    """What the store was made of, by name: "model", "adapter", "data", "seed"..."""

    def __post_init__(self) -> None:
        if self.dtype not in ("float16", "float32"):
            raise ValueError(f"a store holds float16 or float32, not {self.dtype}")
        if self.shard_samples < 1:
            raise ValueError("a shard holds at least one sample")

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.samples // self.shard_samples)


def write_header(folder: Path, header: StoreHeader) -> None:
    """Write the header of a store.

    Raises:
        ArtifactError: it cannot be written.
    """
    write_json_atomic(folder / HEADER_FILE, {"schema_version": SCHEMA_VERSION, "header": asdict(header)})


def read_header(folder: Path) -> StoreHeader:
    """Read the header of a store.

    Raises:
        ArtifactError: it is missing, torn, of another version, or no header.
    """
    path = folder / HEADER_FILE
    values = read_json(path)
    remedy = "run `ftcot grads --overwrite`"
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise ArtifactError(f"is no gradient store of version {SCHEMA_VERSION}", where=path, remedy=remedy)
    try:
        header: dict[str, Any] = {
            name: tuple(v) if name in _TEXTS else v for name, v in values["header"].items()
        }
        _check_types(header)
        return StoreHeader(**header)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ArtifactError("is no header of a gradient store", where=path, remedy=remedy) from None


def check_origin(where: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuse a store that was made of something else.

    Raises:
        ArtifactError: names everything that differs.
    """
    _refuse(where, {name: (found.get(name), value) for name, value in expected.items()})


def check_same(where: Path, found: StoreHeader, expected: StoreHeader) -> None:
    """Refuse to go on with a store of another origin or layout.

    Raises:
        ArtifactError: names everything that differs.
    """
    names = found.origin.keys() | expected.origin.keys()
    _refuse(where, {name: (found.origin.get(name), expected.origin.get(name)) for name in sorted(names)})
    layout = {field.name for field in fields(StoreHeader)} - {"origin"}
    _refuse(where, {name: (getattr(found, name), getattr(expected, name)) for name in sorted(layout)})


def _refuse(where: Path, pairs: Mapping[str, tuple[object, object]]) -> None:
    differing = [
        f"{name} ({_short(found)}, not {_short(expected)})"
        for name, (found, expected) in pairs.items()
        if found != expected
    ]
    if differing:
        raise ArtifactError(
            f"was made with another {' and '.join(differing)}",
            where=where,
            remedy="give the options that it was made with, or make it anew with `ftcot grads --overwrite`",
        )


def _short(value: object, longest: int = 80) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= longest else f"{text[:longest]}..."


def _check_types(header: Mapping[str, Any]) -> None:
    """JSON's values must be of the types that the rest of the program counts on."""
    numbers = ("width", "project_dim", "projection_seed", "parameters", "samples", "shard_samples")
    if not all(type(header[name]) is int for name in numbers) or not isinstance(header["origin"], dict):
        raise TypeError
    if not all(isinstance(text, str) for name in _TEXTS for text in header[name]):
        raise TypeError
