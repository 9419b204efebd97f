"""Command lines that succeed, and such that are refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.cli.main import main

Capture = pytest.CaptureFixture[str]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, by name; of files, the content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def run(capsys: Capture, *words: object) -> dict[str, Any]:
    """The result of a command that succeeds."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr().err
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def told(capsys: Capture, saved_dir: Path, words: Sequence[object], code: int) -> str:
    """The one line of a command that fails, which is the same under --json, and changes nothing."""
    before, command = tree(saved_dir), [str(word) for word in words]
    capsys.readouterr()
    assert main(command) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert [line for line in lines if line.startswith("ftcot: ")] == lines[-1:]
    assert "Traceback" not in shown.err
    assert tree(saved_dir) == before
    assert main([*command, "--json"]) == code
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    report = json.loads(out)
    assert report.keys() == {"schema_version", "error"}
    error = report["error"]
    assert error["exit_code"] == code
    assert error["what"]
    assert error["remedy"] or "must be" in error["what"], "says what is wrong, but not what to do"
    assert f"ftcot: {error['message']}" == lines[-1]
    assert tree(saved_dir) == before
    assert list(Path.cwd().iterdir()) == []
    message: str = error["message"]
    return message
