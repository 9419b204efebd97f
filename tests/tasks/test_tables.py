import json
from pathlib import Path

import pytest

from finetune_cot.errors import DataError
from finetune_cot.tasks.tables import Row, read_tables, row_index

ROWS = [{"instruction": "Say ü\u2028", "output": "ü"}, {"instruction": "Say 1", "output": "1"}]


def fields(path: Path) -> list[dict[str, object]]:
    (table,) = read_tables(path)
    return [dict(row.fields) for row in table.rows]


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    (tmp_path / "a.jsonl").write_text(lines + "\n")
    (tmp_path / "marked.jsonl").write_text("\ufeff" + lines)
    (tmp_path / "lines.json").write_text(lines)
    (tmp_path / "list.json").write_text(json.dumps(ROWS, indent=2))
    (tmp_path / "layout.json").write_text(json.dumps({"data": ROWS}))
    quoted = "".join(f'"{row["instruction"]}",{row["output"]}\n' for row in ROWS)
    (tmp_path / "a.csv").write_text("instruction,output\n" + quoted)
    (tmp_path / "a.tsv").write_text("instruction\toutput\n" + quoted.replace(",", "\t"))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        assert fields(path) == ROWS, path.name


def test_places_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    (table,) = read_tables(path)
    assert table.name == "a"
    assert [row.where for row in table.rows] == [f"{path}, line 1", f"{path}, line 3"]


def test_a_folder_of_files(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text('{"x": 1}\n')
    (tmp_path / "README.md").write_text("no data")
    (tmp_path / ".hidden.jsonl").write_text("{")
    assert [table.name for table in read_tables(tmp_path)] == ["a", "b"]


def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    import datasets

    table = datasets.Dataset.from_list(ROWS)
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table}).save_to_disk(tmp_path / "parts")
    datasets.DatasetDict({"dev": table}).save_to_disk(tmp_path / "other")
    assert fields(tmp_path / "one") == fields(tmp_path / "parts") == ROWS
    with pytest.raises(DataError, match="has no part `train`; name a part's folder: dev"):
        read_tables(tmp_path / "other")
    next((tmp_path / "one").glob("*.arrow")).write_bytes(b"torn")
    with pytest.raises(DataError, match="is no whole folder of `datasets`"):
        read_tables(tmp_path / "one")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl, line 2, column"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', "a.jsonl, line 2: is no object"),
        ("a.jsonl", b"", "a.jsonl: holds no rows"),
        ("a.jsonl", b'{"a": "\xff"}\n', "a.jsonl, line 1: is no UTF-8 text"),
        ("a.jsonl", b'{"a": "\\ud83d"}\n', "a.jsonl, line 1: holds half a character"),
        ("a.jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", "a.jsonl, line 1: is no JSON that can be read"),
        ("a.jsonl", b"[" * 100_000, "a.jsonl, line 1: is no JSON that can be read"),
        ("a.json", b'[{"a": 1},\n {"a": ', r"a.json, line 2, column 8: is cut off"),
        ("a.json", b'{"a": 1}', "is no list of rows"),
        ("a.json", b"[]", "holds no rows"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv, line 3: has another number of columns"),
        ("a.csv", b"a,b\n1,2,3\n", "a.csv, line 2: has another number of columns"),
        ("a.csv", b"a,b\n", "holds no rows"),
        ("a.parquet", b"PAR1 torn", "is torn or no Parquet file"),
        ("a.txt", b"text", r"unknown type '.txt'; expected .jsonl, .json, .csv, .tsv, .parquet"),
    ],
)
def test_torn_and_foreign_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_tables(tmp_path / name)


@pytest.mark.parametrize("source", ["none.jsonl", "./none", "/none/at/all", Path("none")])
def test_what_is_not_there_is_never_looked_for_on_the_hub(source: str | Path) -> None:
    with pytest.raises(DataError, match="is not there; check the path"):
        read_tables(source)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no file of instruction data; expected"):
        read_tables(tmp_path)


def test_numbers_of_rows() -> None:
    assert row_index(Row({}, "here"), 7) == 7
    assert row_index(Row({"sample_index": 3}, "here"), 7) == 3
    assert row_index(Row({"sample_index": "3"}, "here"), 7) == 3
    for index in (True, 1.0, "x", None, "-1"):
        with pytest.raises(DataError, match=r"here: its sample_index .* is no whole number"):
            row_index(Row({"sample_index": index}, "here"), 7)
