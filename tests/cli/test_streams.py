"""Where output goes: a pipe that closes, a disk that is full, an encoding that lacks the letters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FTCOT = (sys.executable, "-m", "finetune_cot")


def test_a_pipe_that_closes_ends_the_command_quietly() -> None:
    with subprocess.Popen(
        [*FTCOT, "data", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with Path("/dev/full").open("wb") as disk:
        shown = subprocess.run([*FTCOT, "data", "list"], stdout=disk, stderr=subprocess.PIPE, text=True)
    assert (shown.returncode, shown.stderr) == (1, "ftcot: No space left on device\n")


@pytest.mark.parametrize(
    "settings",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_letters_that_the_encoding_lacks_break_nothing(settings: dict[str, str], tmp_path: Path) -> None:
    row = {"instruction": "Übersetze", "input": "", "output": "żółć", "skill": "ä"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    shown = subprocess.run(
        [*FTCOT, "data", "show", "--data-path", tmp_path / "rows.jsonl"],
        env={**os.environ, **settings},
        capture_output=True,
    )
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert "[[żółć]]".encode() in shown.stdout
