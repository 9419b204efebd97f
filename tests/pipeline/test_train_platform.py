"""`ftcot train --platform`: one job a student, whatever is killed, and a student that `evaluate` asks."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.artifacts.ids import FinetuneDataId
from finetune_cot.artifacts.students import read_student
from finetune_cot.cli.main import main
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.options import replace
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, FtcotError, TeacherError, TrainingError, UsageError
from finetune_cot.pipeline.evaluate import evaluate
from finetune_cot.pipeline.train import train
from finetune_cot.pipeline.train_result import TrainResult
from tests.loopback import Asked, error_reply
from tests.loopback_platform import CUT, HOLD, Platform, loopback_platform

DATASET = "bundled_coin_flip"
LINES = {
    "openai": {"prompt": "Heads or tails? ###", "completion": " It is heads. --> heads END"},
    "openai-chat": {
        "messages": [
            {"role": "user", "content": "Heads or tails?"},
            {"role": "assistant", "content": "It is heads. --> heads"},
        ]
    },
}
UPLOAD, CREATE = "POST /v1/files", "POST /v1/fine_tuning/jobs"


@pytest.fixture
def served() -> Iterator[Platform]:
    with loopback_platform() as platform:
        yield platform


@pytest.fixture(autouse=True)
def _data(saved_dir: Path) -> None:
    for platform, line in LINES.items():
        path = FinetuneDataId(platform, "k").path(saved_dir)
        path.parent.mkdir(parents=True)
        path.write_text((json.dumps(line) + "\n") * 10)


def config(served: Platform, saved_dir: Path, **options: Any) -> TrainConfig:
    asked = TrainConfig(
        platform="openai",
        model_key="babbage-002",
        finetune_key="k",
        base_url=served.base_url,
        poll_seconds=0.01,
        max_retries=1,
        saved_dir=saved_dir,
    )
    return replace(asked, **options)


def metadata(saved_dir: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(
        (saved_dir / "model_metadata" / "B_babbage-002" / "F_k__T_openai.json").read_text()
    )
    return values


@pytest.mark.parametrize("platform", ["openai", "openai-chat"])
def test_trained_and_evaluated(platform: str, served: Platform, saved_dir: Path) -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> Any:
        asked.append(request)
        text = " It was no. --> no"
        chat = request.path.endswith("/chat/completions")
        content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None, **content}
        return 200, {"id": "1", "object": "c", "created": 1, "model": "m", "choices": [choice]}

    served.answer = answer
    result = train(config(served, saved_dir, platform=platform, epochs=2))
    assert result.served_model == "ft:babbage-002:ftjob-0"
    assert (result.samples, result.resumed, result.reused) == (10, False, False)
    assert served.jobs["ftjob-0"]["hyperparameters"] == {"n_epochs": 2}
    [content] = served.contents.values()
    assert content == FinetuneDataId(platform, "k").path(saved_dir).read_bytes()
    assert metadata(saved_dir)["jobs"]["0"] | {"data_sha256": ""} == {
        "base_url": served.base_url,
        "data_sha256": "",
        "epochs": 2,
        "seed": 0,
        "file_id": "file-0",
        "job_id": "ftjob-0",
        "status": "succeeded",
        "model": "ft:babbage-002:ftjob-0",
        "trained_tokens": 1234,
    }
    scored = evaluate(
        EvaluateConfig(
            teacher="openai",
            model_key="babbage-002",
            finetune_key="k",
            dataset_key=DATASET,
            limit=4,
            saved_dir=saved_dir,
        )
    )
    assert scored.generated == scored.correct_format == 4
    assert scored.path.parent.name == "B_babbage-002__C_ft_cot_token"
    assert scored.path.name == f"F_k__D_{DATASET}.json"
    assert asked[0].body["model"] == "ft:babbage-002:ftjob-0"
    if platform == "openai":
        assert asked[0].body["prompt"].endswith(" ###")
        assert asked[0].body["stop"] == [" END"]
    else:
        assert "###" not in asked[0].text
        assert "stop" not in asked[0].body


def test_runs_have_completions_of_their_own(served: Platform, saved_dir: Path) -> None:
    names = []
    for run in range(2):
        train(config(served, saved_dir, run=run))
        asked = EvaluateConfig(teacher="openai", model_key="babbage-002", finetune_key="k", run=run)
        result = evaluate(replace(asked, dataset_key=DATASET, limit=1, saved_dir=saved_dir))
        assert result.generated == 1
        names.append(result.path.name)
    assert names == [f"F_k__D_{DATASET}.json", f"F_k__T_openai_run_1__D_{DATASET}.json"]


def test_a_second_run_asks_for_nothing(served: Platform, saved_dir: Path) -> None:
    first = train(config(served, saved_dir))
    before = len(served.asked)
    second = train(config(served, saved_dir))
    assert second.reused
    assert second.served_model == first.served_model
    assert len(served.asked) == before


def start(served: Platform, saved_dir: Path) -> "subprocess.Popen[bytes]":
    line = ["train", "--platform", "openai", "--model-key", "babbage-002", "--finetune-key", "k"]
    line += ["--base-url", served.base_url, "--saved-dir", str(saved_dir), "--poll-seconds", "0.05"]
    return subprocess.Popen([sys.executable, "-m", "finetune_cot", *line])


@pytest.mark.parametrize("call", [UPLOAD, CREATE, "GET /v1/fine_tuning/jobs/ftjob-0"])
def test_killed_at_any_step_it_goes_on_with_the_same_job(
    call: str, served: Platform, saved_dir: Path
) -> None:
    served.faults[call] = [HOLD]
    with start(served, saved_dir) as process:
        assert served.held.wait(60)
        process.kill()
    result = train(config(served, saved_dir))
    assert result.served_model == "ft:babbage-002:ftjob-0"
    assert (len(served.files), len(served.jobs)) == (1, 1)


def test_two_runs_at_once(served: Platform, saved_dir: Path) -> None:
    served.job_course = ("running",) * 10_000
    with start(served, saved_dir) as process:
        while not served.jobs:
            time.sleep(0.01)
        with pytest.raises(ArtifactError, match="is in use by `ftcot train`"):
            train(config(served, saved_dir))
        process.kill()


@pytest.mark.parametrize("call", [UPLOAD, CREATE])
def test_a_lost_answer_makes_no_second_job(
    call: str, served: Platform, saved_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_cot.teachers.server_files._pause", lambda *_: 0.0)
    served.faults[call] = [CUT]
    train(config(served, saved_dir))
    assert (len(served.files), len(served.jobs)) == (1, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (UPLOAD, TeacherError, r"the server refuses: No fine-tuning \(HTTP 403\)"),
        (CREATE, TrainingError, r"the server makes no fine-tuning job: No fine-tuning \(HTTP 403\); see"),
    ],
)
def test_a_refusal_is_told_in_one_line(
    call: str, error: type[FtcotError], message: str, served: Platform, saved_dir: Path
) -> None:
    served.faults[call] = [error_reply(403, "No\nfine-tuning")]
    with pytest.raises(error, match=message):
        train(config(served, saved_dir))
    assert (saved_dir / "model_metadata").exists() == (call == CREATE)
    train(config(served, saved_dir))
    assert (len(served.files), len(served.jobs)) == (1, 1)


def test_a_failed_job_is_told_and_replaced_when_asked(served: Platform, saved_dir: Path) -> None:
    served.job_course = ("running", "failed")
    served.job_error = {"code": "bad", "message": "The file has too few lines.", "param": "training_file"}
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"ftjob-0: the job failed: The file has too few lines; mend"):
            train(config(served, saved_dir))
    with pytest.raises(ArtifactError, match=r"ftjob-0: the job of this student is failed"):
        evaluate(
            EvaluateConfig(
                teacher="openai", model_key="babbage-002", finetune_key="k", saved_dir=saved_dir, limit=1
            )
        )
    served.job_course = ("succeeded",)
    result = train(config(served, saved_dir, overwrite=True))
    assert result.job_id == "ftjob-1"
    assert (len(served.files), len(served.jobs)) == (2, 2)


def test_another_training_needs_other_keys(served: Platform, saved_dir: Path) -> None:
    train(config(served, saved_dir))
    with pytest.raises(ArtifactError, match="what differs: epochs; give another --train-key, or --overwrite"):
        train(config(served, saved_dir, epochs=5))
    with pytest.raises(ArtifactError, match="what differs: data_sha256"):
        train(config(served, saved_dir, platform="openai-chat"))
    train(config(served, saved_dir, epochs=5, train_key="long"))
    train(config(served, saved_dir, run=1))
    assert len(served.jobs) == 3
    assert served.jobs["ftjob-2"]["seed"] == 1
    path = saved_dir / "model_metadata" / "B_babbage-002" / "F_k__T_openai.json"
    assert sorted(read_student(path).jobs) == ["0", "1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.1}, "--lr: is nothing that a platform follows"),
        ({"finetune_key": None}, "--finetune-key: is needed with --platform"),
        ({"finetune_key": "none"}, r"F_none.jsonl: is not there; `ftcot build-finetune-data` writes it"),
    ],
)
def test_what_is_refused_before_anything_is_sent(
    options: dict[str, Any], message: str, served: Platform, saved_dir: Path
) -> None:
    with pytest.raises((UsageError, ArtifactError), match=message):
        train(config(served, saved_dir, **options))
    assert served.asked == []


def test_a_torn_line_is_named(served: Platform, saved_dir: Path) -> None:
    path = FinetuneDataId("openai", "k").path(saved_dir)
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n')
    with pytest.raises(ArtifactError, match="line 2: is neither a prompt with its completion nor messages"):
        train(config(served, saved_dir))
    assert served.asked == []


def test_a_dry_run_sends_nothing(served: Platform, saved_dir: Path) -> None:
    result: TrainResult = train(config(served, saved_dir, dry_run=True, epochs=2))
    assert result.plan is not None
    assert result.plan["tokens"] == (19 + 27) * 10 // 4 * 2
    assert result.plan["state"] == "new"
    assert served.asked == []
    assert not (saved_dir / "model_metadata").exists()


def test_a_student_that_is_elsewhere_is_not_loaded_here(served: Platform, saved_dir: Path) -> None:
    train(config(served, saved_dir))
    asked = EvaluateConfig(
        model_key="babbage-002", finetune_key="k", train_key="openai", saved_dir=saved_dir, limit=1
    )
    with pytest.raises(UsageError, match="is where this student is; give --teacher openai"):
        evaluate(asked)


def test_what_people_see(
    served: Platform, saved_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = ["train", "--platform", "openai", "--model-key", "babbage-002", "--finetune-key", "k"]
    line += ["--base-url", served.base_url, "--saved-dir", str(saved_dir), "--poll-seconds", "0.01"]
    assert main(line) == 0
    shown = capsys.readouterr()
    assert "ftjob-0: running, Step 3/3" in shown.err
    assert shown.out.splitlines()[0] == "ft:babbage-002:ftjob-0, of 10 training samples, by ftjob-0"
    [following] = [text for text in shown.out.splitlines() if text.startswith("next: ftcot ")]
    words = following.removeprefix("next: ftcot ").split()
    assert main([*words, "--limit", "1", "--dry-run", "--saved-dir", str(saved_dir)]) == 0
