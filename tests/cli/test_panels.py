"""Help on a terminal: panels that fit it, the options of plain help, and no colour where none is wanted."""

import os
import re
import subprocess
import sys

import pytest

from finetune_cot.cli.main import COMMANDS, PANELS
from tests.cli.terminals import on_terminal

FTCOT = (sys.executable, "-m", "finetune_cot")
COLOUR = "\x1b[36m"


def plain(text: str) -> str:
    """A text without the marks of colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_the_commands_stand_in_panels() -> None:
    code, shown = on_terminal([*FTCOT, "--help"])
    assert code == 0
    assert COLOUR in shown
    assert [name for names in PANELS.values() for name in names] == re.findall(
        rf"^│ ({'|'.join(COMMANDS)}) ", plain(shown), re.MULTILINE
    )
    assert all(f"╭─ {title} ─" in plain(shown) for title in PANELS)


@pytest.mark.parametrize("columns", [40, 80])
def test_panels_fit_the_terminal_and_name_every_option(columns: int) -> None:
    code, shown = on_terminal([*FTCOT, "evaluate", "--help"], columns)
    assert code == 0
    assert max(map(len, plain(shown).splitlines())) <= columns
    in_full = subprocess.run(
        [*FTCOT, "evaluate", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "\x1b" not in in_full
    assert "╭" not in in_full
    options = set(re.findall(r"^ +(--[\w-]+)", in_full, re.MULTILINE))
    assert options == set(re.findall(r"^│ (--[\w-]+)", plain(shown), re.MULTILINE))
    assert "╭─ A server with OpenAI's" in plain(shown)
    assert "Examples:\nftcot evaluate\n" in plain(shown)


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_no_colour_where_none_is_wanted(variable: str) -> None:
    settings = {**os.environ, "TERM": "xterm-256color"} | {variable: {"TERM": "dumb"}.get(variable, "1")}
    code, shown = on_terminal([*FTCOT, "data"], environment=settings)
    assert code == 0
    assert COLOUR not in shown
    assert "generate" in shown
    assert ("╭" in shown) == (variable == "NO_COLOR")


def test_a_command_that_is_none_has_no_help() -> None:
    code, shown = on_terminal([*FTCOT, "trian", "--help"])
    assert (code, shown) == (2, "ftcot: No such command 'trian'. Did you mean 'train'?\n")
