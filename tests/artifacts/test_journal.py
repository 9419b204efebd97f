"""The journal: what was appended is there, what a kill cut off is not, what was damaged is named."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune_cot.artifacts.journal import append_records, begin_journal, read_journal
from finetune_cot.errors import ArtifactError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
RECORDS = st.dictionaries(TEXTS, TEXTS | st.integers() | st.none() | st.lists(TEXTS), max_size=4)
QUICK = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


def journal(path: Path, *records: dict[str, Any]) -> int:
    begin_journal(path, {"about": "tests"})
    return append_records(path, path.stat().st_size, records)[-1]


@QUICK
@given(st.lists(st.lists(RECORDS, max_size=3), max_size=4))
def test_what_was_appended_is_read(tmp_path: Path, batches: list[list[dict[str, Any]]]) -> None:
    path = tmp_path / "j.jsonl"
    size = journal(path)
    for batch in batches:
        size = append_records(path, size, batch)[-1]
    content = read_journal(path)
    assert content.header == {"about": "tests"}
    assert list(content.records) == [record for batch in batches for record in batch]
    assert content.size == size == path.stat().st_size


@QUICK
@given(st.lists(RECORDS, min_size=1, max_size=4), st.data())
def test_a_journal_cut_anywhere_keeps_its_whole_records(
    tmp_path: Path, records: list[dict[str, Any]], data: st.DataObject
) -> None:
    path = tmp_path / "j.jsonl"
    header = journal(path)
    size = append_records(path, header, records)[-1]
    cut = data.draw(st.integers(header, size))
    os.truncate(path, cut)
    content = read_journal(path)
    assert list(content.records) == records[: len(content.records)]
    assert content.size <= cut
    # Going on from there gives the same file as if nothing had happened.
    append_records(path, content.size, records[len(content.records) :])
    assert list(read_journal(path).records) == records


def test_a_torn_last_line_counts_as_not_written(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    size = journal(path, {"n": 1}, {"n": 2})
    for torn in (b"12ab", b'00000000 {"n": 3}\n', b"\0\0\0\0"):
        with path.open("ab") as file:
            file.write(torn)
        content = read_journal(path)
        assert content.records == ({"n": 1}, {"n": 2})
        assert content.size == size
        append_records(path, size, [{"n": 3}])
        assert [record["n"] for record in read_journal(path).records] == [1, 2, 3]
        os.truncate(path, size)


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal(path, {"n": 1}, {"n": 2}, {"n": 3})
    path.write_bytes(path.read_bytes().replace(b'{"n":2}', b'{"n":7}'))
    with pytest.raises(ArtifactError, match=r"j\.jsonl, line 3: is damaged.*remove the line"):
        read_journal(path)


def test_a_journal_without_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.touch()
    with pytest.raises(ArtifactError, match="has no header"):
        read_journal(path)


def test_lines_can_be_read_by_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal(path, {"text": "line\nbreak \u2028 ü"})
    lines = path.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line[9:]) for line in lines[:-1]] == [
        {"about": "tests"},
        {"text": "line\nbreak \u2028 ü"},
    ]


def test_a_kill_loses_at_most_what_is_in_flight(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from finetune_cot.artifacts.journal import append_records, begin_journal
path = Path(sys.argv[1])
begin_journal(path, {})
size = path.stat().st_size
for number in range(100_000):
    size = append_records(path, size, [{"n": number, "text": "x" * 500}])[-1]
    print(number, flush=True)
"""
    path = tmp_path / "j.jsonl"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 50:
                process.send_signal(signal.SIGKILL)
                break
        told = max([50, *(int(line) for line in process.stdout if line.endswith("\n"))])
    numbers = [record["n"] for record in read_journal(path).records]
    assert numbers == list(range(len(numbers)))
    assert told < len(numbers) <= told + 2


def test_a_full_disk_is_told_and_the_earlier_records_stay(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    size = journal(path, {"n": 1})
    code = """
import resource, signal, sys
from pathlib import Path
from finetune_cot.artifacts.journal import append_records
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
append_records(Path(sys.argv[1]), int(sys.argv[2]), [{"n": 2, "text": "x" * 100_000}])
"""
    failed = subprocess.run(
        [sys.executable, "-c", code, str(path), str(size)], capture_output=True, text=True
    )
    assert "ArtifactError" in failed.stderr
    assert "what is in it is kept; free some space" in failed.stderr.replace("\\", "")
    content = read_journal(path)
    assert content.records == ({"n": 1},)
    append_records(path, content.size, [{"n": 2}])
    assert [record["n"] for record in read_journal(path).records] == [1, 2]
