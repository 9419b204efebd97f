"""The commands of docs/tutorials/ run as they are written, and what they give is what the pages say of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[1] / "docs" / "tutorials"


@pytest.mark.slow
def test_distil_reasoning(tmp_path: Path) -> None:
    shown = _run("distil-reasoning.md", tmp_path)
    measured = re.findall(r"^accuracy ([\d.]+)% \+- ([\d.]+)%.*\(test\)", shown, re.MULTILINE)
    (base, base_error), (student, student_error) = [(float(share), float(error)) for share, error in measured]
    assert student - base > 2 * (base_error**2 + student_error**2) ** 0.5


@pytest.mark.slow
def test_choose_data_sources(tmp_path: Path) -> None:
    shown = _run("choose-data-sources.md", tmp_path)
    rows = re.findall(r"^\d\t(\w+)\t\d+\t(\S+)\t(yes|no)$", shown, re.MULTILINE)
    scores = {source: float(score) for source, score, _ in rows}
    assert max(scores, key=scores.__getitem__) == "wrong_sums"
    assert {"sums", "spelled_sums"} <= {source for source, _, chosen in rows if chosen == "yes"}


def _run(page: str, folder: Path) -> str:
    """Run a page's commands in a folder; gives what they printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shown = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _commands(page)],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert (folder / "saved" / "reports" / "report" / "report.html").is_file()
    return shown.stdout


def _commands(page: str) -> str:
    """The indented blocks of a page as one shell script; what is fenced are outputs."""
    text = (TUTORIALS / page).read_text(encoding="utf-8")
    unfenced = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join(re.findall(r"^ {4}(.*)$", unfenced, re.MULTILINE))
