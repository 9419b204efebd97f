"""Data sets of questions with answers: the published ones, those of one's own, and the bundled ones.

A file ``<data_dir>/dataset/<key>.json`` holds ``{"metadata": {...}, "data": [{"sample_index", "question",
"answer", "rationale"?, "task"?}]}``. Of the metadata are read: ``dataset_key``; ``variant``; ``task``, that
of rows which name none; ``answer_format`` for the whole file or ``answer_formats`` by task.
"""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.keys import check_key
from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.answer_formats import (
    PUBLISHED_FORMATS,
    answer_format_from_json,
    answer_format_to_json,
    infer_answer_format,
)
from finetune_cot.tasks.glue import glue_dataset, glue_task_of
from finetune_cot.tasks.procedural.registry import bundled_dataset, bundled_keys, is_bundled
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample
from finetune_cot.tasks.text_files import read_json, store_text

_MEND = "mend or remove that row"


def load_dataset(key: str, data_dir: Path | None) -> Dataset:
    """The data set of a key: a bundled one, which needs no folder, a task of GLUE, or a file of the folder.

    Raises:
        UsageError: the key cannot be one, or there is no such data set; names those with a similar key.
        DataError: the folder or the file is missing, or the file is torn or of another form.
    """
    if glue_task_of(key):
        return glue_dataset(key, data_dir)
    check_key(key, "data set key")
    if is_bundled(key):
        return bundled_dataset(key)
    if data_dir is not None and dataset_path(key, data_dir).exists():
        return load_dataset_file(dataset_path(key, data_dir), key)
    if key in PUBLISHED_FORMATS:
        folder_there = data_dir is not None and data_dir.is_dir()
        raise DataError(
            f"there is no data set {key}" if folder_there else "there is no data folder",
            where=data_dir,
            remedy=f"name its folder with --data-dir or FTCOT_DATA_DIR, or run `ftcot data fetch {key}`",
        )
    known = [*stored_keys(data_dir), *PUBLISHED_FORMATS, *bundled_keys()]
    close = list(dict.fromkeys(get_close_matches(key, known)))
    raise UsageError(
        f"there is no data set {key!r}",
        where=data_dir,
        remedy=(f"did you mean {' or '.join(close)}? " if close else "") + "`ftcot data list` shows all",
    )


def load_dataset_file(path: Path, key: str | None = None) -> Dataset:
    """A data set from any file of the form.

    Args:
        path: The file.
        key: Key of the data set; by default the metadata's ``dataset_key`` (and ``-<variant>``), or else the
            file's name.

    Raises:
        DataError: the file is missing, torn or of another form; names the row.
        UsageError: the key cannot be one.
    """
    return parse_dataset(read_json(path), path, key)


def parse_dataset(content: Any, path: Path, key: str | None = None) -> Dataset:
    """A data set from the content of its file; see `load_dataset_file`."""
    rows = content.get("data") if isinstance(content, dict) else None
    metadata = content.get("metadata", {}) if isinstance(content, dict) else None
    if not isinstance(rows, list) or not isinstance(metadata, dict):
        raise DataError(
            "is no data set: it has no list `data`", where=path, remedy="`ftcot data import` makes one of it"
        )
    if not rows:
        raise DataError("holds no samples", where=path, remedy="get the file again")
    key = check_key(key or _own_key(metadata, path), "data set key")
    task = metadata.get("task", key)
    samples = tuple(_sample(row, task, f"{path}, row {number}") for number, row in enumerate(rows))
    _refuse_repeats(samples, path)
    return Dataset(key, samples, str(path), _answer_formats(samples, metadata, path, key))


def dataset_path(key: str, data_dir: Path) -> Path:
    """Where the data set of a key lies."""
    return data_dir / "dataset" / f"{check_key(key, 'data set key')}.json"


def stored_keys(data_dir: Path | None) -> list[str]:
    """Keys of the data sets in the folder, sorted; none where there is no folder."""
    paths = [] if data_dir is None else data_dir.glob("dataset/*.json")
    return sorted(path.stem for path in paths if not path.name.startswith("."))


def store_dataset(
    dataset: Dataset, data_dir: Path, metadata: Mapping[str, Any], overwrite: bool
) -> tuple[Path, bool]:
    """Write a data set into the data folder; its answer formats are written too.

    Returns:
        The path, and whether it was written: False where the file already held just this.

    Raises:
        UsageError: the key is that of a bundled data set, or cannot be one.
        DataError: another data set of that key is there and ``overwrite`` is false.
        ArtifactError: it cannot be written.
    """
    if is_bundled(dataset.key):
        raise UsageError(f"{dataset.key} is a bundled data set", remedy="choose another name")
    formats = {task: answer_format_to_json(dataset.answer_formats[task]) for task in dataset.tasks}
    head = {"dataset_key": dataset.key, **metadata, "answer_formats": formats}
    rows = ",\n".join(json.dumps(_row(sample, dataset.key), ensure_ascii=False) for sample in dataset.samples)
    text = f'{{"metadata": {json.dumps(head, ensure_ascii=False)},\n"data": [\n{rows}\n]}}\n'
    path = dataset_path(dataset.key, data_dir)
    return path, store_text(path, text, overwrite)


def _own_key(metadata: Mapping[str, Any], path: Path) -> str:
    parts = [metadata.get("dataset_key", path.stem), metadata.get("variant")]
    return "-".join(str(part) for part in parts if part)


def _sample(row: Any, task: str, where: str) -> Sample:
    if not isinstance(row, dict):
        raise DataError("is no object", where=where, remedy=_MEND)
    # An older form of the published files calls the rationale `reasoning`.
    fields = {"task": task, "rationale": row.get("reasoning"), **row}
    kinds = {"sample_index": int, "question": str, "answer": str, "task": str, "rationale": str | None}
    for name, kind in kinds.items():
        if name not in fields:
            raise DataError(f"has no {name!r}", where=where, remedy=_MEND)
        if not isinstance(fields[name], kind) or isinstance(fields[name], bool):
            wanted = "whole number" if kind is int else "text"
            what = f"its {name!r} is no {wanted}: {fields[name]!r}"
            raise DataError(what, where=where, remedy=_MEND)
    return Sample(**{name: fields[name] for name in kinds})


def _refuse_repeats(samples: Sequence[Sample], path: Path) -> None:
    first: dict[int, int] = {}
    for number, sample in enumerate(samples):
        if first.setdefault(sample.sample_index, number) != number:
            raise DataError(
                f"has the sample_index {sample.sample_index} of row {first[sample.sample_index]} again",
                where=f"{path}, row {number}",
                remedy=_MEND,
            )


def _answer_formats(
    samples: Sequence[Sample], metadata: Mapping[str, Any], path: Path, key: str
) -> dict[str, AnswerFormat]:
    stated = metadata.get("answer_formats", {})
    if not isinstance(stated, dict):
        remedy = "mend the metadata, or leave it out"
        raise DataError("answer_formats is no object by task", where=path, remedy=remedy)
    formats = dict(PUBLISHED_FORMATS)
    if metadata.get("dataset_key") in PUBLISHED_FORMATS:
        formats.setdefault(key, PUBLISHED_FORMATS[metadata["dataset_key"]])
    tasks = dict.fromkeys(sample.task for sample in samples)
    if "answer_format" in metadata:
        formats |= dict.fromkeys(tasks, answer_format_from_json(metadata["answer_format"], path))
    formats |= {task: answer_format_from_json(value, path) for task, value in stated.items()}
    return {
        task: formats.get(task) or infer_answer_format(sample for sample in samples if sample.task == task)
        for task in tasks
    }


def _row(sample: Sample, dataset_key: str) -> dict[str, Any]:
    row = {"sample_index": sample.sample_index, "question": sample.question, "answer": sample.answer}
    rationale = {} if sample.rationale is None else {"rationale": sample.rationale}
    return row | rationale | ({} if sample.task == dataset_key else {"task": sample.task})
