"""What commands say at their end: where things are, and a next command that works as it stands."""

import shlex
from pathlib import Path

import pytest

from finetune_cot.cli.main import main
from finetune_cot.cli.output import show_plan

pytestmark = pytest.mark.models

KEY = "bundled_small_addition"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, with nothing set."""
    monkeypatch.chdir(tmp_path)
    for name in ("FTCOT_SAVED_DIR", "FTCOT_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def said(capsys: Capture, command: str) -> list[str]:
    """Lines on standard output of a command that succeeds."""
    capsys.readouterr()
    assert main(shlex.split(command)) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


def following(lines: list[str]) -> str:
    """The command that the last line names."""
    assert lines[-1].startswith("next: ftcot ")
    return lines[-1].removeprefix("next: ftcot ")


def test_the_next_commands_lead_from_questions_to_a_report(capsys: Capture, tiny_llama_dir: Path) -> None:
    first = f"teach --teacher rationale --dataset-key {KEY}"
    build = following(said(capsys, first))
    lines = said(capsys, build)
    assert lines[:2] == ["210 training samples of 210 questions; 300 seen", "90 left out: outside split"]
    assert lines[2] == f"in saved/finetune_data/P_custom/F_zs_cot_{KEY}.json"
    again = said(capsys, build)
    assert again[2] == f"already in saved/finetune_data/P_custom/F_zs_cot_{KEY}.json"
    train = f"{following(lines)} --model-key {tiny_llama_dir} --epochs 1 --downsample 0.2"
    lines = said(capsys, train)
    assert lines[0].startswith("1 epochs, ")
    assert lines[1].startswith("train loss ")
    assert "MiB of memory at most" in lines[2]
    report = following(said(capsys, f"{following(lines)} --dataset-key {KEY} --limit 2"))
    lines = said(capsys, f"{report} --figure-format none")
    assert lines[-3].startswith("tables    ")
    assert following(lines)
    lines = said(capsys, "export-hf")
    assert lines[0].startswith("a whole model in float32, 0.")
    assert said(capsys, f"{following(lines)} --dataset-key {KEY} --limit 2")[-1] == "next: ftcot report"


def test_commands_about_data_lead_on(capsys: Capture, tmp_path: Path) -> None:
    show = following(said(capsys, f"data generate {KEY} --num-samples 5 --name five"))
    assert show == "data show five"
    assert following(said(capsys, show)) == "train --dataset-key five"
    (tmp_path / "mine.csv").write_text("question,answer\nHow much is 1 + 1?,2\n")
    assert following(said(capsys, "data import mine.csv")) == "data show mine"
    assert main(["data", "list"]) == 0
    out, err = capsys.readouterr()
    assert "next" not in out, "a program that reads the rows"
    assert err == "next: ftcot data show KEY\n"


@pytest.mark.parametrize("command", ["teach", "evaluate", "train", "build-finetune-data --preset-key ft"])
def test_a_plan_says_what_would_be_done(command: str, capsys: Capture, tiny_llama_dir: Path) -> None:
    lines = said(capsys, f"{command} --dry-run --dataset-key {KEY} --model-key {tiny_llama_dir}")
    assert any("would be" in line or "nothing is done yet" in line for line in lines)
    assert not any("written" in line or line.startswith("0 generated") for line in lines)
    assert all(len(line) < 200 for line in lines)
    assert not Path("saved").exists()


def test_a_plan_has_a_line_for_each_file(capsys: Capture) -> None:
    show_plan({"steps": 3, "tasks": ["a", "b"], "files": ["x", "y"]})
    assert capsys.readouterr().out == "steps  3\ntasks  a, b\nfiles  x\nfiles  y\n"
