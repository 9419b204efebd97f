"""Writes more samples of the bundled tasks into the data folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from finetune_cot.errors import UsageError
from finetune_cot.tasks.procedural.registry import bundled_dataset, bundled_keys, is_bundled
from finetune_cot.tasks.reasoning import store_dataset


@dataclass(frozen=True)
class GenerateReport:
    """What was generated."""

    key: str
    path: Path
    written: bool
    """False where the file was there already, just so."""
    samples: int
    tasks: tuple[str, ...]


def generate_bundled(
    key: str, count: int, seed: int, data_dir: Path, name: str | None = None, *, overwrite: bool = False
) -> GenerateReport:
    """Write a bundled data set of any size into ``<data_dir>/dataset/<name>.json``.

    Args:
        key: ``bundled`` or ``bundled_<task>``.
        count: Samples of each task.
        seed: What the samples are drawn from; the bundled data sets themselves have 0.
        data_dir: The data folder.
        name: Key of the new data set; by default ``<key>_<count>``, and ``_seed_<seed>`` unless it is 0.
        overwrite: Whether another file of that name may be replaced.

    Raises:
        UsageError: there is no such bundled data set, or the name cannot be a key.
        DataError: a task has fewer different questions, or another file of that name is there and
            ``overwrite`` is false.
        ArtifactError: the data folder cannot be written to.
    """
    if not is_bundled(key):
        raise UsageError(
            f"{key!r} is no bundled data set", remedy=f"choose one of {', '.join(bundled_keys())}"
        )
    name = name or f"{key}_{count}" + (f"_seed_{seed}" if seed else "")
    dataset = replace(bundled_dataset(key, count, seed), key=name)
    path, written = store_dataset(dataset, data_dir, {"source": f"{key}, {dataset.source}"}, overwrite)
    return GenerateReport(name, path, written, len(dataset.samples), dataset.tasks)
