"""Tables: ruled where a terminal has room for their words, one line a row elsewhere."""

import re
import subprocess
import sys

import pytest

from tests.cli.terminals import on_terminal

WORDS = "show_table(('data set', 'n', 'source'), [['[bold]_words', 300, 'generated from seed 0']])"
COMMAND = (sys.executable, "-c", f"from finetune_cot.cli.output import show_table; {WORDS}")


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (20, ["[bold]_words: n 300, source generated from seed 0"]),
        (40, ["data set       n     source", "─" * 40, "[bold]_words   300   generated from seed", "0"]),
        (60, ["data set       n     source", "─" * 42, "[bold]_words   300   generated from seed 0"]),
    ],
)
def test_a_table_on_a_terminal_cuts_no_word(columns: int, lines: list[str]) -> None:
    code, shown = on_terminal(COMMAND, columns)
    assert code == 0
    shown = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert [line.strip() for line in shown.splitlines()] == lines


def test_a_table_in_a_pipe_is_parted_by_tabs() -> None:
    shown = subprocess.run(COMMAND, capture_output=True, text=True, check=True).stdout
    assert shown == "data set\tn\tsource\n[bold]_words\t300\tgenerated from seed 0\n"
