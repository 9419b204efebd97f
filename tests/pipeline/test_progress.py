"""Word of progress: a line that a terminal of any width holds, and plain lines elsewhere."""

import os
import re
import subprocess
import sys

import pytest

from tests.cli.terminals import on_terminal

WORK = """
from finetune_cot.pipeline.progress import progress
with progress("teach --batch submit", 2000, "completions") as update:
    for done in (0, 500, 2000):
        update(done)
"""
COMMAND = (sys.executable, "-c", WORK)


@pytest.mark.parametrize(
    ("columns", "told"), [(20, "2000/2000"), (40, "2000/2000"), (60, "teach"), (80, "━")]
)
def test_a_bar_fits_its_terminal_and_tells_how_much_is_done(columns: int, told: str) -> None:
    code, shown = on_terminal(COMMAND, columns)
    frames = re.split(r"[\r\n]", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown))
    assert code == 0
    assert max(map(len, frames)) <= columns
    assert shown.count("\n") == 1, "a frame has wrapped"
    assert told in frames[-2]
    assert "2000/2000" in frames[-2]


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_without_control_characters_where_nothing_can_be_drawn(terminal: bool) -> None:
    if terminal:
        _, shown = on_terminal(COMMAND, environment={**os.environ, "TERM": "dumb"})
    else:
        shown = subprocess.run(COMMAND, capture_output=True, text=True, check=True).stderr
    assert re.fullmatch(r"teach --batch submit: 2000/2000 completions, \d+/s\n", shown)
