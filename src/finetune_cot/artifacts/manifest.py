"""Manifests: what made an artifact, from what, with what versions, and at what cost."""

import os
import platform
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from finetune_cot import __version__
from finetune_cot.artifacts.files import read_json, sha256_file, write_json_atomic
from finetune_cot.errors import ArtifactError

SCHEMA_VERSION = 1
PACKAGES = ("torch", "transformers", "peft", "lightning", "numpy", "openai")


@dataclass(frozen=True)
class Manifest:
    """The origin of an artifact; ``--config`` reads ``command`` and ``config`` back in."""

    schema_version: int
    command: str
    config: Mapping[str, Any]
    seed: int | None
    versions: Mapping[str, str]
    inputs: Mapping[str, str]
    """SHA-256 of each input, by its path or key."""
    outputs: Mapping[str, str]
    """SHA-256 of each file written, by its name within the artifact."""
    started: str
    """UTC, ISO 8601."""
    seconds: float
    peak_memory_bytes: int
    cost: float | None = None
    """US dollars that the artifact has cost in all, by earlier runs too; None where that is not known."""
    cpu_seconds: float | None = None
    """Seconds that all cores together worked; None where an older version did not measure them."""
    gpu: str | None = None
    """Name of the GPU that the command used."""


@dataclass(frozen=True)
class RunningCommand:
    """A command under way, which will end as a manifest."""

    command: str
    config: Mapping[str, Any]
    started: datetime
    clock: float
    cpu_clock: float

    def manifest(
        self,
        inputs: Mapping[str, str] | None = None,
        outputs: Mapping[str, str] | None = None,
        cost: float | None = None,
    ) -> Manifest:
        """The manifest of what was written just now."""
        return Manifest(
            schema_version=SCHEMA_VERSION,
            command=self.command,
            config=self.config,
            seed=self.config.get("seed"),
            versions=_versions(),
            inputs=inputs or {},
            outputs=outputs or {},
            started=self.started.isoformat(timespec="seconds"),
            seconds=round(self.seconds, 3),
            peak_memory_bytes=peak_memory_bytes(),
            cost=cost,
            cpu_seconds=round(_cpu_seconds() - self.cpu_clock, 3),
            gpu=_gpu(),
        )

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.perf_counter() - self.clock


def start(command: str, config: Mapping[str, Any]) -> RunningCommand:
    """Start the clock of a command."""
    return RunningCommand(command, config, datetime.now(UTC), time.perf_counter(), _cpu_seconds())


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_seconds() -> float:
    """Of this process and of the children that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _gpu() -> str | None:
    """The GPU that this process uses; only a command that has loaded torch can use any."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else None


def to_dict(manifest: Manifest) -> dict[str, Any]:
    """Plain JSON values."""
    return asdict(manifest)


def sidecar(path: Path) -> Path:
    """Where the manifest of a file that cannot hold one itself lies."""
    return path.with_name(f"{path.name}.manifest.json")


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest file.

    Raises:
        ArtifactError: it cannot be written.
    """
    write_json_atomic(path, to_dict(manifest))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        ArtifactError: it is missing, torn, or no manifest.
    """
    return parse_manifest(read_json(path), path)


def parse_manifest(values: Any, where: Path) -> Manifest:
    """The manifest that plain JSON values are.

    Raises:
        ArtifactError: they are none; names the file.
    """
    try:
        manifest = Manifest(**values)
    except TypeError:
        manifest = None
    tables = () if manifest is None else (manifest.config, manifest.inputs, manifest.outputs)
    if manifest is None or not all(isinstance(table, dict) for table in tables):
        remedy = "restore it, or remove what it belongs to and run its command again"
        raise ArtifactError("is no manifest", where=where, remedy=remedy)
    return manifest


def verify_outputs(folder: Path, manifest: Manifest) -> None:
    """Check that the files of an artifact are those that were written.

    Raises:
        ArtifactError: names a file that is missing or differs.
    """
    for name, digest in manifest.outputs.items():
        file = folder / name
        if not file.exists():
            raise ArtifactError("is missing", where=file, remedy=f"run `ftcot {manifest.command}` again")
        if sha256_file(file) != digest:
            raise ArtifactError(
                "is torn or was edited: it is not what its manifest says",
                where=file,
                remedy=f"run `ftcot {manifest.command}` again, with --overwrite where it asks for it",
            )


def _versions() -> dict[str, str]:
    found = {"finetune_cot": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
