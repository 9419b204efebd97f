"""What README.md, CONTRIBUTING.md and the pages of docs/ tell people to type."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_TYPED = re.compile(
    r"^ {4,}(?P<line>[^#\n]*\b(?:ftcot|finetune_cot) .+)$"  # in an indented block
    r"|`(?P<code>ftcot\s+(?:--|[a-z-]+\s+\S)[^`]*)`",  # in a text, with something after its name
    re.MULTILINE,
)


def name_of(page: Path) -> str:
    """The page as people call it, such as ``docs/quickstart.md``."""
    return page.relative_to(ROOT).as_posix()


def typed_lines(page: Path) -> list[str]:
    """All lines with a command of ours, in their order; lines that go on after a backslash are one."""
    text = re.sub(r"\\\n\s*", "", _FENCED.sub("", page.read_text(encoding="utf-8")))
    return [" ".join((found["line"] or found["code"]).split()) for found in _TYPED.finditer(text)]


def python_blocks(page: Path) -> list[str]:
    """All blocks of Python, in their order."""
    found = _FENCED.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(block) for language, block in found if language == "python"]
