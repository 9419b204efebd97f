"""What README.md tells a newcomer to type can be typed."""

import re
import shlex
from pathlib import Path

import pytest

from finetune_cot.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND_LINES = re.findall(r"^    (ftcot .+)$", README, re.MULTILINE)


def test_every_command_is_named() -> None:
    assert all(re.search(rf"`ftcot {name}|ftcot {name}$", README, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("line", [*COMMAND_LINES, "ftcot demo", *re.findall(r"`(ftcot train .+?)`", README)])
def test_command_lines_have_options_that_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    # A config file that is missing is told of only after every option was understood.
    assert main([*shlex.split(line)[1:], "--config", "missing.toml"]) == 2
    assert capsys.readouterr().err.startswith("ftcot: missing.toml: cannot be read")


def test_links_and_pictures_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert all((ROOT / link).exists() for link in links if not link.startswith("http"))


def test_ci_runs_the_test_line() -> None:
    assert len(re.findall(r"'\.\[test\]'", README)) == 1
    assert "'.[test]'" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
