"""Rows of instruction data and other tables, from files, folders and data sets of the Hugging Face hub."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from finetune_cot.errors import DataError
from finetune_cot.tasks.hub import load_hub_rows
from finetune_cot.tasks.text_files import parse_json, read_text

_MEND = "mend or remove that row"


@dataclass(frozen=True)
class Row:
    """One row with its place."""

    fields: Mapping[str, Any]
    where: str
    """File and line (CSV, JSONL) or file and row, from 0."""


@dataclass(frozen=True)
class Table:
    """Rows with the same columns."""

    name: str
    """Name of the file without its type, of the folder, or of the hub's data set."""
    rows: tuple[Row, ...]
    form: Literal["rows", "natural-instructions", "data set"] = "rows"
    """Whether the rows lay open, or in a task file of Natural Instructions or in a data set of ours."""


def read_tables(source: str | Path) -> list[Table]:
    """The tables of a source, at least one, none of them empty.

    Args:
        source: A JSONL, JSON, CSV, TSV or Parquet file; a folder that `datasets` saved, or one of such files;
            or the name of a Hugging Face data set, with ``:configuration`` where it has several.

    Raises:
        DataError: it is not there, torn, of an unknown kind, or empty; names the line.
    """
    path = Path(source)
    if path.is_dir():
        return [_saved_table(path)] if _is_saved(path) else _folder_tables(path)
    if path.exists():
        return [_file_table(path)]
    if isinstance(source, Path) or path.suffix in READERS or str(source).startswith((".", "/", "~")):
        raise DataError("is not there", where=source, remedy="check the path")
    rows = load_hub_rows(str(source))
    return [_table(path.name.partition(":")[0], rows, str(source))]


def row_index(row: Row, number: int) -> int:
    """The row's ``sample_index``, or its number where it has none.

    Raises:
        DataError: its ``sample_index`` is no whole number.
    """
    index = row.fields.get("sample_index", number)
    if isinstance(index, str) and index.isdecimal():  # a CSV file holds text alone
        return int(index)
    if type(index) is not int:
        what = f"its sample_index {index!r} is no whole number"
        raise DataError(what, where=row.where, remedy=_MEND)
    return index


def _folder_tables(folder: Path) -> list[Table]:
    paths = sorted(path for path in folder.iterdir() if path.suffix in READERS and path.name[0] != ".")
    if not paths:
        raise DataError(
            "holds no file of instruction data", where=folder, remedy=f"expected {', '.join(READERS)}"
        )
    return [_file_table(path) for path in paths]


def _file_table(path: Path) -> Table:
    if path.suffix not in READERS:
        raise DataError(
            f"is of an unknown type {path.suffix!r}", where=path, remedy=f"expected {', '.join(READERS)}"
        )
    table = READERS[path.suffix](path)
    if not table.rows:
        raise DataError("holds no rows", where=path, remedy="check the path, or get the file again")
    return table


def _table(name: str, rows: Iterable[Any], where: str, form: Any = "rows") -> Table:
    return Table(
        name,
        tuple(_row(row, f"{where}, row {number}") for number, row in enumerate(rows)),
        form,
    )


def _row(fields: Any, where: str) -> Row:
    if not isinstance(fields, dict):
        raise DataError("is no object", where=where, remedy=_MEND)
    return Row(fields, where)


def _read_lines(path: Path) -> Table:
    # split("\n"), as splitlines() would also split at line separators that may stand inside a JSON text
    lines = enumerate(read_text(path).split("\n"), start=1)
    return Table(
        path.stem,
        tuple(
            _row(parse_json(line, path, number), f"{path}, line {number}")
            for number, line in lines
            if line.strip()
        ),
    )


def _read_json(path: Path) -> Table:
    text = read_text(path)
    first, _, rest = text.strip().partition("\n")
    if first.startswith("{") and first.rstrip().endswith("}") and rest:
        return _read_lines(path)  # JSON Lines, only named .json
    content = parse_json(text, path)
    if isinstance(content, list):
        return _table(path.stem, content, str(path))
    if isinstance(content, dict) and isinstance(content.get("Instances"), list):
        return _natural_instructions(content, path)
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        metadata = content.get("metadata")
        task = metadata.get("task", metadata.get("dataset_key")) if isinstance(metadata, dict) else None
        return _table(str(task or path.stem), content["data"], str(path), "data set")
    raise DataError(
        "is no list of rows", where=path, remedy='expected [{...}, ...], {"data": [...]} or JSON Lines'
    )


def _natural_instructions(content: Mapping[str, Any], path: Path) -> Table:
    definition = content.get("Definition")
    instruction = "\n".join(definition) if isinstance(definition, list) else definition
    table = _table(path.stem, content["Instances"], str(path), "natural-instructions")
    rows = tuple(
        Row({"instruction": instruction, **row.fields, "output": _first(row.fields.get("output"))}, row.where)
        for row in table.rows
    )
    return Table(table.name, rows, table.form)


def _first(value: Any) -> Any:
    """The first of several right outputs."""
    return value[0] if isinstance(value, list) and value else value


def _read_csv(path: Path) -> Table:
    text = read_text(path)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    rows = []
    try:
        for fields in reader:
            where = f"{path}, line {reader.line_num}"
            if None in fields or None in fields.values():
                what = "has another number of columns than the first line"
                raise DataError(what, where=where, remedy=_MEND)
            rows.append(Row(fields, where))
    except csv.Error as error:
        where = f"{path}, line {reader.line_num}"
        raise DataError(f"is no CSV: {error}", where=where, remedy=_MEND) from None
    return Table(path.stem, tuple(rows))


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        remedy = "get the file again"
        raise DataError(f"is torn or no Parquet file: {error}", where=path, remedy=remedy) from None
    return _table(path.stem, rows, str(path))


def _is_saved(folder: Path) -> bool:
    return (folder / "state.json").exists() or (folder / "dataset_dict.json").exists()


def _saved_table(folder: Path) -> Table:
    import datasets
    import pyarrow

    try:
        saved = datasets.load_from_disk(str(folder))
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        remedy = "save or copy it again"
        raise DataError(f"is no whole folder of `datasets`: {error}", where=folder, remedy=remedy) from None
    if isinstance(saved, datasets.DatasetDict):
        if "train" not in saved:
            raise DataError(
                "has no part `train`",
                where=folder,
                remedy=f"name a part's folder: {', '.join(sorted(saved))}",
            )
        saved = saved["train"]
    if not len(saved):
        raise DataError("holds no rows", where=folder, remedy="check the path, or save it again")
    return _table(folder.resolve().name, saved, str(folder))


READERS: Mapping[str, Callable[[Path], Table]] = MappingProxyType(
    {
        ".jsonl": _read_lines,
        ".json": _read_json,
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".parquet": _read_parquet,
    }
)
"""What reads a file, by the ending of its name."""
