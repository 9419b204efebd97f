"""What README.md and the pages of docs/ tell people to type can be typed."""

import re
import shlex
from pathlib import Path

import pytest

from finetune_cot.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TEXT = "\n".join(re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8")) for page in PAGES)
"""Lines that go on after a backslash are one."""
COMMAND_LINES = [
    *re.findall(r"^ {4,}(?:srun )?(?:torchrun .*-m )?((?:ftcot|finetune_cot) .+)$", TEXT, re.MULTILINE),
    *re.findall(r"`(ftcot [a-z -]+ --[^`\n]+)`", TEXT),
]


def test_every_command_is_named() -> None:
    assert all(re.search(rf"`ftcot {name}|ftcot {name}$", README, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("line", [*COMMAND_LINES, "ftcot demo"])
def test_command_lines_have_options_that_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(re.sub(r"\$\w+", "1", line), comments=True)[1:]
    # A config file that is missing is told of only after every option was understood.
    assert main([*words, "--config", "missing.toml"]) == 2
    assert capsys.readouterr().err.startswith("ftcot: missing.toml: cannot be read")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert all((page.parent / link).exists() for link in links if not link.startswith("http"))


def test_ci_runs_the_test_line() -> None:
    assert len(re.findall(r"'\.\[test\]'", README)) == 1
    assert "'.[test]'" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
