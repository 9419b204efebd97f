"""Brings files of one's own, and published archives, into the data folder."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from finetune_cot.artifacts.keys import check_key
from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.answer_formats import infer_answer_format
from finetune_cot.tasks.archives import is_archive, unpacked
from finetune_cot.tasks.converters import split_worked_answer
from finetune_cot.tasks.instruction import DEFAULT_TASK_FIELD, InstructionData, instruction_data
from finetune_cot.tasks.pickles import PICKLES, read_pickled_table
from finetune_cot.tasks.published_layout import is_published, published_files
from finetune_cot.tasks.reasoning import parse_dataset, store_dataset
from finetune_cot.tasks.sample import Dataset, Sample
from finetune_cot.tasks.tables import READERS, Row, Table, read_tables, row_index
from finetune_cot.tasks.text_files import read_json, read_text, refuse_other, store_text

ImportKind = Literal["auto", "reasoning", "instruction", "alpaca-pickle", "reasoning-teacher"]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table hold what."""

    question: str = "question"
    answer: str = "answer"
    rationale: str = "rationale"
    """Need not be there."""
    task: str = DEFAULT_TASK_FIELD
    """Need not be there."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    kind: ImportKind
    """What the source was taken for."""
    format: str
    """The form of its rows, for the user."""
    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    """Files that were there already, just so."""
    samples: int
    """Samples and instruction examples."""
    completions: int = 0
    tasks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Rows that have nothing to ask or nothing to learn."""


def import_dataset(
    source: str | Path,
    data_dir: Path,
    key: str | None = None,
    kind: ImportKind = "auto",
    columns: Columns | None = None,
    *,
    saved_dir: Path = Path("saved"),
    overwrite: bool = False,
) -> ImportReport:
    """Bring a file, folder, archive or Hugging Face data set into the data folder.

    * ``reasoning``: a table of questions and answers becomes ``dataset/<key>.json``.
    * ``instruction`` and ``alpaca-pickle``: instruction data become ``instruction/<key>.jsonl``, as messages.
    * ``reasoning-teacher``: published files are copied to where they belong, completions into ``saved_dir``.

    Args:
        source: What to read; see `read_tables`.
        data_dir: The data folder.
        key: Name of the new data set; by default the source's name. Published files keep their own.
        kind: What the source is; by default it is seen from its name and columns.
        columns: Columns of a table that is not named as usual.
        saved_dir: Where published completions go.
        overwrite: Whether other files of those names may be replaced.

    Raises:
        UsageError: the key cannot be one, or is that of a bundled data set.
        DataError: the source is not there, torn or of another form, or other files of those names are there
            and ``overwrite`` is false. Nothing is written then.
        ArtifactError: the data folder cannot be written to.
    """
    path, columns = Path(source), columns or Columns()
    if kind == "auto":
        kind = _kind_of_name(path)
    if kind == "reasoning-teacher":
        if key is not None:
            raise UsageError("published files keep their names", remedy="leave out the new data set's name")
        return _import_published(path, data_dir, saved_dir, overwrite)
    key = check_key(key or _name(path), "data set key")
    tables = [read_pickled_table(path)] if kind == "alpaca-pickle" else read_tables(source)
    if kind == "auto":
        found = tables[0].rows[0].fields.keys() >= {columns.question, columns.answer}
        kind = "reasoning" if found else "instruction"
    if kind == "reasoning":
        return _import_reasoning(path, tables, data_dir, key, columns, overwrite)
    data = instruction_data(tables, columns.task, source)
    return _import_instruction(data, kind, data_dir, key, overwrite)


def _kind_of_name(path: Path) -> ImportKind:
    if path.suffix in PICKLES:
        return "alpaca-pickle"
    if is_archive(path):
        return "reasoning-teacher"
    names = (file.relative_to(path).as_posix() for file in path.rglob("*.json")) if path.is_dir() else ()
    return "reasoning-teacher" if any(map(is_published, names)) else "auto"


def _name(path: Path) -> str:
    return path.stem if path.suffix in (*READERS, *PICKLES) else path.name.partition(":")[0]


def _report(
    kind: ImportKind, form: str, stored: Sequence[tuple[Path, bool]], samples: int, **more: Any
) -> ImportReport:
    written = tuple(path for path, new in stored if new)
    unchanged = tuple(path for path, new in stored if not new)
    return ImportReport(kind, form, written, unchanged, samples, **more)


def _import_instruction(
    data: InstructionData, kind: ImportKind, data_dir: Path, key: str, overwrite: bool
) -> ImportReport:
    rows = (
        {
            "sample_index": example.sample_index,
            DEFAULT_TASK_FIELD: example.task,
            "messages": [asdict(message) for message in example.messages],
        }
        for example in data.examples
    )
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path = data_dir / "instruction" / f"{key}.jsonl"
    stored = [(path, store_text(path, text, overwrite))]
    return _report(kind, data.format, stored, len(data.examples), tasks=data.tasks, left_out=data.left_out)


def _import_reasoning(
    path: Path, tables: Sequence[Table], data_dir: Path, key: str, columns: Columns, overwrite: bool
) -> ImportReport:
    metadata: dict[str, Any] = {}
    if [table.form for table in tables] == ["data set"] and columns == Columns():
        content = read_json(path)
        dataset = parse_dataset(content, path, key)
        own = ("dataset_key", "variant", "task", "answer_format", "answer_formats")
        metadata = {name: value for name, value in content.get("metadata", {}).items() if name not in own}
    else:
        dataset = _dataset([row for table in tables for row in table.rows], key, columns, str(path))
    stored = [store_dataset(dataset, data_dir, metadata, overwrite)]
    return _report("reasoning", "question/answer", stored, len(dataset.samples), tasks=dataset.tasks)


def _dataset(rows: Sequence[Row], key: str, columns: Columns, source: str) -> Dataset:
    samples = tuple(_sample(row, number, key, columns) for number, row in enumerate(rows))
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    formats = {task: infer_answer_format(members) for task, members in by_task.items()}
    return Dataset(key, samples, source, formats)


def _sample(row: Row, number: int, key: str, columns: Columns) -> Sample:
    question, answer = _text(row, columns.question), _text(row, columns.answer)
    rationale = _text(row, columns.rationale) if row.fields.get(columns.rationale) else None
    if rationale is None:
        rationale, answer = split_worked_answer(answer)
    task = next((_text(row, column) for column in (columns.task, "task") if column in row.fields), key)
    return Sample(row_index(row, number), question, answer, task, rationale)


def _text(row: Row, column: str) -> str:
    """Text of a field that must not be empty; numbers are written as text."""
    if column not in row.fields:
        raise DataError(
            f"has no {column!r}",
            where=row.where,
            remedy="--question-field, --answer-field and --rationale-field name the columns",
        )
    value = row.fields[column]
    text = str(value) if type(value) in (int, float) else value
    if not isinstance(text, str) or not text.strip():
        what = "empty" if value is None or isinstance(value, str) else "no text"
        raise DataError(f"its {column!r} is {what}", where=row.where)
    return text.strip()


def _import_published(path: Path, data_dir: Path, saved_dir: Path, overwrite: bool) -> ImportReport:
    if path.is_dir():
        return _copy_published(path, path, data_dir, saved_dir, overwrite)
    with unpacked(path, is_published) as folder:
        return _copy_published(folder, path, data_dir, saved_dir, overwrite)


def _copy_published(
    root: Path, source: Path, data_dir: Path, saved_dir: Path, overwrite: bool
) -> ImportReport:
    files = published_files(root, source, data_dir, saved_dir)
    if not overwrite:
        for file in files:
            refuse_other(file.destination, read_text(file.path))
    stored = [
        (file.destination, store_text(file.destination, read_text(file.path), overwrite)) for file in files
    ]
    samples, completions = (sum(file.samples for file in files), sum(file.completions for file in files))
    return _report("reasoning-teacher", "published files", stored, samples, completions=completions)
