"""A server's key is in nothing that a run writes, prints, logs or is started with."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finetune_cot.cli.main import main
from tests.loopback import Asked, Reply, completion_reply, error_reply
from tests.loopback_platform import Platform, loopback_platform

KEY = "sk-secret-of-the-user"
DATASET = "bundled_coin_flip"


@pytest.fixture
def served() -> Iterator[Platform]:
    with loopback_platform() as platform:
        yield platform


@pytest.fixture
def line(served: Platform, tmp_path: Path) -> list[str]:
    """What all commands have in common, and a file with the key that is beside `saved/`."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    common = ["--base-url", served.base_url, "--saved-dir", str(tmp_path / "saved"), "--max-retries", "0"]
    return [*common, "--api-key-file", str(tmp_path / "key")]


def written(folder: Path) -> str:
    """Everything in a folder, names included."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "\n".join(f"{path}\n{path.read_text()}" for path in files)


def repeats_the_key(asked: Asked) -> Reply:
    """Answer some requests with an error that holds the key."""
    if "no" in asked.text[-60:]:
        return error_reply(500, f"Incorrect key provided: {KEY}. See your keys.")
    return completion_reply(asked)


@pytest.mark.parametrize("as_json", [True, False])
def test_of_teaching_live_and_by_batches(
    as_json: bool,
    line: list[str],
    served: Platform,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    served.answer = repeats_the_key
    common = ["teach", "--teacher", "openai", "--model-key", "m", "--dataset-key", DATASET, "--limit", "20"]
    common += [*line, "--completion-key", "zs", *(["--json"] if as_json else [])]
    assert main([*common, "--batch", "submit"]) == 0
    served.finish()
    assert main([*common, "--batch", "status"]) == 0
    assert main([*common, "--batch", "collect"]) == 0
    assert main(common) in (0, 1)
    assert main(["evaluate", *common[1:], "--split", "all"]) in (0, 1)
    assert served.keys == {f"Bearer {KEY}"}
    shown = capsys.readouterr()
    everything = shown.out + shown.err + caplog.text + written(tmp_path / "saved")
    assert "Incorrect key provided: ***" in everything
    assert KEY not in everything
    assert str(tmp_path / "key") in everything  # where it comes from is known


def test_of_a_student(
    line: list[str],
    served: Platform,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "saved" / "finetune_data" / "P_openai" / "F_k.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"prompt": "a ###", "completion": " b END"}\n' * 10)
    common = ["train", "--platform", "openai", "--model-key", "m", "--finetune-key", "k", *line]
    common += ["--poll-seconds", "0.01"]
    served.faults["POST /v1/fine_tuning/jobs"] = [error_reply(403, f"The key {KEY} may not")]
    assert main(common) == 1
    served.job_course = ("running", "failed")
    served.job_error = {"code": "bad", "message": f"{KEY} is not allowed"}
    assert main([*common, "--json"]) == 1
    served.job_course = ("succeeded",)
    assert main([*common, "--overwrite"]) == 0
    shown = capsys.readouterr()
    everything = shown.out + shown.err + caplog.text + written(tmp_path / "saved")
    assert "The key *** may not" in everything
    assert KEY not in everything


def test_of_a_process_that_logs_all_it_can(served: Platform, tmp_path: Path) -> None:
    served.answer = repeats_the_key
    line = ["-m", "finetune_cot", "teach", "--teacher", "openai", "--model-key", "m", "--limit", "8"]
    line += ["--dataset-key", DATASET, "--base-url", served.base_url, "--max-retries", "0"]
    line += ["--saved-dir", str(tmp_path), "--api-key-env", "THE_KEY", "--json"]
    environment = os.environ | {"THE_KEY": KEY, "OPENAI_LOG": "debug", "PYTHONWARNINGS": "always"}
    done = subprocess.run(
        [sys.executable, "-X", "dev", *line], env=environment, capture_output=True, text=True, timeout=120
    )
    assert json.loads(done.stdout)["schema_version"] == 1
    assert served.keys == {f"Bearer {KEY}"}
    assert "openai" in done.stderr  # it did log
    assert KEY not in done.stdout + done.stderr + written(tmp_path)


def test_what_the_environment_says_of_an_account_stays_with_openai(
    served: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-user")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-the-user")
    line = ["teach", "--teacher", "openai", "--model-key", "m", "--limit", "2", "--dataset-key", DATASET]
    line += ["--base-url", served.base_url, "--saved-dir", str(tmp_path)]
    assert main(line) == 0
    assert main([*line, "--completion-key", "zs", "--batch", "submit"]) == 0
    assert len(served.batches) == 1
    assert served.keys == {"Bearer none"}
    assert not [value for value in served.headers if "of-the-user" in value]
