"""Which samples of a data set are trained on and which are measured on.

A file ``<data_dir>/split/<key>__<split>.json`` decides. Where there is none, the published rule makes the
same split: 70 % of a permutation from seed 0, or the official division of GLUE's tasks, gsm8k, commonsense_qa
and aqua.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.keys import check_key
from finetune_cot.errors import DataError
from finetune_cot.tasks.glue import VALIDATION_FROM, glue_task_of
from finetune_cot.tasks.sample import Dataset, Sample, Split
from finetune_cot.tasks.text_files import read_json

_OFFICIAL = {"gsm8k": (7473, 1319), "commonsense_qa": (9741, 1221), "aqua": (97467, 254)}
"""Sizes of the official train and test parts, numbered one after the other."""
_TEMPLATE_RULES = ("multiarith", "date_understanding")
_AQUA_TRAIN = 10_000
"""How many of AQuA's training samples the published split draws."""


def load_split(dataset: Dataset, data_dir: Path | None, split_key: str = "default") -> Split:
    """The split of that key, from its file or by its rule; samples that are absent are left out and counted.

    Raises:
        UsageError: the key cannot be one.
        DataError: the file is torn, of another form or fits no sample; or there is neither file nor rule.
    """
    path = data_dir and split_path(dataset.key, check_key(split_key, "split key"), data_dir)
    if path and path.exists():
        train, test = read_split(path)
        return _split(dataset, train, test, path, generated=False)
    return generate_split(dataset, split_key)


def part_indices(dataset: Dataset, data_dir: Path | None, part: str, split_key: str) -> tuple[int, ...]:
    """Sample indices of a part of a data set: ``train``, ``test``, or ``all`` of it.

    Raises:
        UsageError, DataError: as `load_split`, which ``all`` does without.
    """
    if part == "all":
        return tuple(sample.sample_index for sample in dataset.samples)
    split = load_split(dataset, data_dir, split_key)
    return split.train if part == "train" else split.test


def generate_split(dataset: Dataset, split_key: str = "default") -> Split:
    """The split by the published rule, whatever files there are.

    ``default``: the official division, or 70 % of the samples for training. ``template``, for multiarith and
    date_understanding: 70 % of the question templates, so that no template is in both parts.

    Raises:
        DataError: there is no rule for this split of the data set.
    """
    if split_key == "default" and glue_task_of(dataset.key):
        indices = [sample.sample_index for sample in dataset.samples]
        train = [index for index in indices if index < VALIDATION_FROM]
        test = [index for index in indices if index >= VALIDATION_FROM]
        return _split(dataset, train, test, dataset.source, generated=True)
    if split_key == "default" and dataset.key in _OFFICIAL:
        return _split(dataset, *_official_parts(dataset.key), dataset.source, generated=True)
    if split_key == "default":
        groups = [[index] for index in sorted(sample.sample_index for sample in dataset.samples)]
    elif split_key == "template" and dataset.key in _TEMPLATE_RULES:
        groups = _template_groups(dataset)
    else:
        raise DataError(
            f"{dataset.key} has no split {split_key!r}",
            where=dataset.source,
            remedy=f"use default, or write split/{dataset.key}__{split_key}.json into the data folder",
        )
    train, test = _seventy_percent(groups)
    return _split(dataset, train, test, dataset.source, generated=True)


def split_keys(dataset: Dataset, data_dir: Path) -> list[str]:
    """The splits that a data set has, by a file or by a rule; sorted."""
    files = (data_dir / "split").glob(f"{dataset.key}__*.json")
    of_rules = {"default", *(["template"] if dataset.key in _TEMPLATE_RULES else [])}
    return sorted(of_rules | {path.stem.removeprefix(f"{dataset.key}__") for path in files})


def split_path(dataset_key: str, split_key: str, data_dir: Path) -> Path:
    """Where the file of a split lies."""
    return data_dir / "split" / f"{dataset_key}__{split_key}.json"


def read_split(path: Path) -> tuple[list[int], list[int]]:
    """Sample indices of both parts, from ``{"train": [...], "test": [...]}``.

    Raises:
        DataError: the file is torn or of another form, or an index stands in it twice.
    """
    content = read_json(path)
    train, test = (_indices(content, part, path) for part in ("train", "test"))
    seen: set[int] = set()
    for index in (*train, *test):
        if index in seen:
            raise DataError(f"names sample {index} twice", where=path)
        seen.add(index)
    return train, test


def _indices(content: Any, part: str, path: Path) -> list[int]:
    indices = content.get(part) if isinstance(content, dict) else None
    if not isinstance(indices, list) or not all(type(index) is int for index in indices):
        raise DataError('is no split: expected {"train": [indices], "test": [indices]}', where=path)
    return indices


def _official_parts(key: str) -> tuple[Iterable[int], Iterable[int]]:
    train, test = _OFFICIAL[key]
    test_indices = range(train, train + test)
    if key != "aqua":
        return range(train), test_indices
    return sorted(_permutation(train)[:_AQUA_TRAIN]), test_indices


def _seventy_percent(groups: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Sample indices of 70 % of the groups, and of the others."""
    order = _permutation(len(groups))
    cut = round(len(groups) * 0.7)
    train, test = (
        sorted(index for group in part for index in groups[group]) for part in (order[:cut], order[cut:])
    )
    return train, test


def _permutation(count: int) -> list[int]:
    import numpy

    order: list[int] = numpy.random.RandomState(0).permutation(count).tolist()
    return order


def _template_groups(dataset: Dataset) -> list[list[int]]:
    """Samples with the same question template, in order of their first sample."""
    groups: dict[str, list[int]] = {}
    for sample in sorted(dataset.samples, key=lambda sample: sample.sample_index):
        groups.setdefault(_template(sample, dataset.key), []).append(sample.sample_index)
    return list(groups.values())


def _template(sample: Sample, dataset_key: str) -> str:
    if dataset_key == "date_understanding":  # nine questions are asked about each scene
        return sample.question.partition("What is the date")[0]
    return re.sub(r"\d+|[A-Z]\w*", "", sample.question)  # its questions differ in numbers and names


def _split(
    dataset: Dataset, train: Iterable[int], test: Iterable[int], where: object, *, generated: bool
) -> Split:
    present = {sample.sample_index for sample in dataset.samples}
    named = [tuple(train), tuple(test)]
    kept = [tuple(index for index in part if index in present) for part in named]
    if not any(kept):
        raise DataError(
            f"the split fits no sample of {dataset.key}",
            where=where,
            remedy="check that split and data set belong together",
        )
    absent = sum(map(len, named)) - sum(map(len, kept))
    return Split(train=kept[0], test=kept[1], generated=generated, absent=absent)
