"""Every data set at hand, with its size."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune_cot.tasks.glue import glue_keys
from finetune_cot.tasks.procedural.registry import bundled_keys
from finetune_cot.tasks.reasoning import load_dataset, stored_keys
from finetune_cot.tasks.splits import load_split


@dataclass(frozen=True)
class DatasetSummary:
    """What there is to know of a data set before using it."""

    key: str
    samples: int
    train: int
    """Samples of the default split's train part that are there."""
    test: int
    """Samples of the default split's test part that are there."""
    tasks: int
    source: str


def list_datasets(data_dir: Path | None) -> list[DatasetSummary]:
    """The data sets of the folder, if there is one, and the bundled ones.

    Raises:
        UsageError: a file's name cannot be a data set's key.
        DataError: a file of the folder is torn or of another form.
    """
    return list(_summaries(data_dir))


def _summaries(data_dir: Path | None) -> Iterator[DatasetSummary]:
    bundled = bundled_keys()
    stored = [key for key in stored_keys(data_dir) if key not in bundled]
    for key in [*stored, *glue_keys(data_dir), *bundled]:
        dataset = load_dataset(key, data_dir)
        split = load_split(dataset, data_dir)
        yield DatasetSummary(
            key=key,
            samples=len(dataset.samples),
            train=len(split.train),
            test=len(split.test),
            tasks=len(dataset.tasks),
            source=dataset.source,
        )
