"""What README.md and the pages of docs/ tell people to type can be typed; their links lead somewhere."""

import html
import re
import shlex
from pathlib import Path

import pytest

from finetune_cot.cli.main import COMMANDS, main
from tests.documented import PAGES, ROOT, name_of, typed_lines

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKED_PAGES = [*PAGES, ROOT / "SECURITY.md", ROOT / "examples" / "README.md"]
COMMAND_LINES = sorted(
    {line for page in PAGES for line in typed_lines(page) if not re.search("--help|--install", line)}
)


def test_every_command_is_named() -> None:
    assert all(re.search(rf"`ftcot {name}|ftcot {name}$", README, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_have_options_that_exist(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    typed = re.split(r"(?:\bftcot|-m finetune_cot) ", line)[-1]
    words = shlex.split(
        re.sub(r"\$\w+", "1", re.split(r" \||;", typed.replace("$OPTIONS", ""))[0]), comments=True
    )
    # A config file that is missing is told of only after every option was understood.
    assert main([*words, "--config", "missing.toml"]) == 2
    assert capsys.readouterr().err.startswith("ftcot: missing.toml: cannot be read")


@pytest.mark.parametrize("page", LINKED_PAGES, ids=name_of)
def test_links_and_pictures_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert all((page.parent / link).exists() for link in links if not link.startswith("http"))


def test_the_picture_of_the_data_flow_has_every_command() -> None:
    picture = html.unescape((ROOT / "docs" / "images" / "data-flow.svg").read_text(encoding="utf-8"))
    assert all(f">{name}</text>" in picture for name in COMMANDS if name not in ("demo", "data"))


def test_ci_runs_the_test_line() -> None:
    assert len(re.findall(r"'\.\[test\]'", README)) == 1
    assert "'.[test]'" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
