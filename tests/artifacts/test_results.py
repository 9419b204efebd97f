import subprocess
import sys
from pathlib import Path

import pytest

from finetune_cot.artifacts.results import ResultRow, append_result, read_results, write_results
from finetune_cot.errors import ArtifactError


def test_the_table_spelled_out(tmp_path: Path) -> None:
    path = tmp_path / "x" / "results.csv"
    append_result(path, ResultRow((0, 2), 1.5, {"sums": 1.25, "dates, old": 1.75}))
    append_result(path, ResultRow((1,), 0.5, {"sums": 0.5, "coins": 0.25}))
    assert path.read_text() == (
        'Data indices,loss,loss_coins,"loss_dates, old",loss_sums\n0 2,1.5,,1.75,1.25\n1,0.5,0.25,,0.5\n'
    )
    assert read_results(path) == [
        ResultRow((0, 2), 1.5, {"sums": 1.25, "dates, old": 1.75}),
        ResultRow((1,), 0.5, {"sums": 0.5, "coins": 0.25}),
    ]


def test_numbers_keep_every_digit(tmp_path: Path) -> None:
    row = ResultRow((), 0.1 + 0.2, {"a": 1e-17})
    append_result(tmp_path / "results.csv", row)
    assert read_results(tmp_path / "results.csv") == [row]


def test_estimates_say_how_sure_they_are(tmp_path: Path) -> None:
    path = tmp_path / "x" / "results.csv"
    rows = [
        ResultRow((0, 2), 1.5, {"sums": 1.25, "std": 1.75}, 0.25, {"sums": 0.125, "std": 0.5}),
        ResultRow((1,), 0.5, {"sums": 0.5}, None, {"sums": 0.25}),
        ResultRow((), 2.0, {}),
    ]
    write_results(path, rows)
    assert path.read_text() == (
        "Data indices,loss,loss_std,loss_sums,std,std_std,std_sums\n"
        "0 2,1.5,1.75,1.25,0.25,0.5,0.125\n1,0.5,,0.5,,,0.25\n,2.0,,,,,\n"
    )
    assert read_results(path) == rows


def test_a_whole_table_takes_the_place_of_another(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_results(path, (ResultRow((number,), 1.0, {"a": 2.0}) for number in range(3)))
    write_results(path, [ResultRow((7,), 0.5, {"b": 1.0})])
    assert path.read_text() == "Data indices,loss,loss_b\n7,0.5,1.0\n"
    append_result(path, ResultRow((8,), 0.25, {"b": 0.5}, std=0.1))
    assert path.read_text() == "Data indices,loss,loss_b,std\n7,0.5,1.0,\n8,0.25,0.5,0.1\n"
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == ["results.csv"]


def test_several_runs_add_rows_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    code = """
import sys
from pathlib import Path
from finetune_cot.artifacts.results import ResultRow, append_result
for number in range(10):
    append_result(Path(sys.argv[1]), ResultRow((int(sys.argv[2]), number), 1.0, {}))
"""
    command = [sys.executable, "-c", code, str(path)]
    runs = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    expected = [(run, number) for run in range(3) for number in range(10)]
    assert sorted(row.task_indices for row in read_results(path)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "does not begin with the columns"),
        ("loss,Data indices\n", "does not begin with the columns"),
        ("Data indices,loss\n0 1,much\n", "line 2: is no row of results"),
        ("Data indices,loss,loss_a\n0,1.0,1.0\n1,1.0\n", "line 3: is no row of results"),
        ("Data indices,loss\nzero,1.0\n", "line 2"),
    ],
)
def test_other_tables_are_named_and_left_alone(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=message):
        append_result(path, ResultRow((0,), 1.0, {}))
    assert path.read_text() == content


def test_a_missing_table_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"results\.csv: is not there"):
        read_results(tmp_path / "results.csv")
    (tmp_path / "results.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ArtifactError, match="is no table"):
        read_results(tmp_path / "results.csv")
