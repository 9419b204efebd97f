"""Pickled tables are read; a pickle that would run something is refused, and nothing of it is run."""

import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.errors import DataError
from finetune_cot.tasks.pickles import read_pickled_table

ROWS = [{"instruction": "a", "output": "ü"}, {"instruction": "b", "output": "2"}]


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row.fields) for row in read_pickled_table(path).rows]


class Runs:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def write(tmp_path: Path, content: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
    path = tmp_path / "alpaca.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pandas_table(tmp_path: Path, protocol: int) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, index=[7, 9])
    expected = [{"sample_index": 7, **ROWS[0]}, {"sample_index": 9, **ROWS[1]}]
    assert rows(write(tmp_path, frame, protocol)) == expected
    assert rows(write(tmp_path, frame.astype(object), protocol)) == expected


def test_labels_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    assert rows(write(tmp_path, pandas.DataFrame(ROWS, index=["x", "y"]))) == ROWS
    assert rows(write(tmp_path, pandas.DataFrame(ROWS, index=[1, 1]))) == ROWS


def test_a_list_of_dictionaries(tmp_path: Path) -> None:
    table = read_pickled_table(write(tmp_path, ROWS))
    assert table.name == "alpaca"
    assert [dict(row.fields) for row in table.rows] == ROWS
    assert table.rows[1].where.endswith("alpaca.pkl, row 1")


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "make",
    [
        lambda mark: Runs(os.system, f"touch {mark}"),
        lambda mark: Runs(subprocess.check_output, ["touch", mark]),
        lambda mark: Runs(eval, f"open({mark!r}, 'w')"),
        lambda mark: Runs(exec, f"open({mark!r}, 'w')"),
        lambda mark: Runs(open, mark, "w"),
        lambda mark: Runs(getattr, dict, "fromkeys"),
        lambda mark: [{"a": Runs(Path(mark).touch)}],
        lambda mark: Runs(__import__, "os"),
    ],
)
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, make: Any, protocol: int) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(DataError, match=r"alpaca\.pkl: asks for .*which no table needs: it was not run"):
        read_pickled_table(write(tmp_path, make(str(mark)), protocol))
    assert not mark.exists()


def test_dotted_names_do_not_lead_past_the_list(tmp_path: Path) -> None:
    path = tmp_path / "alpaca.pkl"
    for module, name in (
        ("pandas", "DataFrame.eval"),
        ("builtins", "dict.fromkeys"),
        ("numpy", "dtype.__init__"),
    ):
        path.write_bytes(
            b"\x80\x04\x8c"
            + bytes([len(module)])
            + module.encode()
            + b"\x8c"
            + bytes([len(name)])
            + name.encode()
            + b"\x93."
        )
        with pytest.raises(DataError, match="which no table needs"):
            read_pickled_table(path)


@pytest.mark.parametrize("content", [3, "text", [], [1], {"a": 1}, None, {"a": [1]}])
def test_what_is_no_table_is_named(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError, match="holds no table with rows but a"):
        read_pickled_table(write(tmp_path, content))


def test_torn_pickles_are_named(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = write(tmp_path, pandas.DataFrame(ROWS))
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="is torn or no pickle of a table"):
            read_pickled_table(path)
    with pytest.raises(DataError, match="is not there"):
        read_pickled_table(tmp_path / "none.pkl")
