"""``ftcot report --open`` and ``--serve``, with a browser that writes down what it is shown."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.cli.main import main
from finetune_cot.tasks.reasoning import load_dataset
from tests.reporting.made_up import write_completions

DATASET = "bundled_coin_flip"


@pytest.fixture
def words(saved_dir: Path) -> list[str]:
    samples = load_dataset(DATASET, None).samples[:5]
    write_completions(saved_dir, CompletionId("m", "zs", DATASET), samples, lambda *_: True)
    return ["report", "--saved-dir", str(saved_dir), "--figure-format", "none"]


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the browser writes addresses into."""
    browser, file = tmp_path / "browser", tmp_path / "shown"
    browser.write_text(f'#!/bin/sh\necho "$1" > {file}.part && mv {file}.part {file}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    return file


def address_in(shown: Path, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 120
    while not shown.exists():
        assert process.poll() in (0, None), process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return shown.read_text().strip()


def start(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "finetune_cot", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ, stdout=pipe, stderr=pipe, text=True)


def test_the_page_is_opened_from_its_file(words: list[str], shown: Path, saved_dir: Path) -> None:
    process = start([*words, "--open"])
    page = saved_dir / "reports" / "report" / "report.html"
    assert address_in(shown, process) == page.resolve().as_uri()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"page      {page}" in out.splitlines()


def test_the_page_is_served_until_it_is_stopped(words: list[str], shown: Path) -> None:
    process = start([*words, "--serve", "--open"])
    address = address_in(shown, process)
    with urllib.request.urlopen(address) as reply:
        assert b"zero-shot" in reply.read()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"serving   {address} (Ctrl-C ends it)" in err.splitlines()
    assert any(line.startswith("page      ") for line in out.splitlines())


@pytest.mark.parametrize("option", ["--open", "--serve"])
def test_there_is_nothing_to_show_without_the_page(
    option: str, words: list[str], saved_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--no-page", option]) == 2
    assert capsys.readouterr().err == f"ftcot: {option}: needs the page; leave --no-page out\n"
    assert not (saved_dir / "reports").exists()
