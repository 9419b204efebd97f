"""`ftcot teach --batch`: every completion is asked for once, whatever becomes of the batches."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import read_completions
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.cli.main import main
from finetune_cot.config.teach import TeachConfig
from finetune_cot.errors import ArtifactError, TeacherError, UsageError
from finetune_cot.pipeline.teach import TeachResult, teach
from finetune_cot.teachers import batch_lines
from tests.loopback import Asked, Reply, completion_reply, error_reply, reply_of
from tests.loopback_platform import CUT, HOLD, Platform, loopback_platform

DATASET = "bundled_coin_flip"
CREATE = "POST /v1/batches"
UPLOAD = "POST /v1/files"


@pytest.fixture
def served() -> Iterator[Platform]:
    with loopback_platform() as platform:
        yield platform


@pytest.fixture
def batch(served: Platform, saved_dir: Path) -> Callable[..., TeachResult]:
    def run(verb: str | None, **options: object) -> TeachResult:
        config = TeachConfig(
            model_key="m",
            dataset_key=DATASET,
            completion_key="zs",
            teacher="openai",
            base_url=served.base_url,
            batch=verb,
            limit=6,
            max_retries=1,
            saved_dir=saved_dir,
        )
        return teach(replace(config, **options))

    return run


Run = Callable[..., TeachResult]


def content(path: Path) -> object:
    """What a completion file holds, but for what tells of how it was asked for."""
    rows = [vars(completion) for completion in read_completions(path).completions]
    for row in rows:
        row["extra"] = {key: row["extra"][key] for key in row["extra"].keys() - {"parameters", "by_batch"}}
    return rows


def ledger(saved_dir: Path) -> list[dict[str, object]]:
    [path] = (saved_dir / "batches").rglob("D_*.json")
    rows: list[dict[str, object]] = json.loads(path.read_text())["batches"]
    return rows


def test_one_step(batch: Run, served: Platform, saved_dir: Path) -> None:
    assert batch("collect").requested == batch("status").requested == 6  # as a loop of commands begins
    assert list(saved_dir.iterdir()) == []
    sent = batch("submit")
    assert sent.batch is not None
    assert (sent.batch.submitted, sent.batch.under_way, sent.completed) == (6, 6, 0)
    [request, *_] = served.requests("batch_0")
    assert request["url"] == "/v1/chat/completions"
    assert request["body"]["model"] == "m"
    assert not sent.path.exists()
    told = batch("status")
    assert told.batch is not None
    assert [(row.batch, row.status, row.completed) for row in told.batch.batches] == [
        ("batch_0", "in_progress", 0)
    ]
    assert batch("collect").completed == 0
    served.finish()
    result = batch("collect")
    assert (result.requested, result.completed, result.failed, result.completion_tokens) == (6, 6, 0, 24)
    assert ledger(saved_dir)[0]["collected"] is True
    again = batch("submit")
    assert again.batch is not None
    assert (again.batch.submitted, again.reused) == (0, 6)
    assert list(served.batches) == ["batch_0"]


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_two_steps_give_what_live_requests_give(
    endpoint: str, batch: Run, served: Platform, saved_dir: Path, tmp_path: Path
) -> None:
    two = {"completion_key": "zs_cot_t70", "num_completions": 2, "endpoint": endpoint, "seed": 3}
    batch("submit", **two)
    served.finish()
    first = batch("collect", **two)
    assert first.batch is not None
    assert (first.completed, first.batch.reasoned, first.path.exists()) == (0, 12, False)
    second = batch("submit", **two)
    assert second.batch is not None
    assert (second.batch.submitted, second.batch.reasoned) == (12, 0)
    assert [row.step for row in second.batch.batches] == [2]
    served.finish()
    assert batch("collect", **two).completed == 12
    assert not list(saved_dir.rglob("*.reasoning.jsonl"))
    live = batch(None, **two, saved_dir=tmp_path / "live")
    assert content(live.path) == content(first.path)


def test_live_requests_top_up_what_a_batch_left(batch: Run, served: Platform) -> None:
    batch("submit")
    with pytest.raises(ArtifactError, match="6 of these completions are asked for by batches"):
        batch(None)
    served.finish("expired", only=lambda number: number < 4)
    left = batch("collect")
    assert (left.completed, left.failures) == (4, {"This request was not in time": 2})
    result = batch(None)
    assert (result.completed, result.reused) == (2, 4)


def test_a_partly_failed_batch_is_topped_up_by_the_next(batch: Run, served: Platform) -> None:
    calls = 0

    def answer(asked: Asked) -> Reply:
        nonlocal calls
        calls += 1
        if calls == 2:
            return error_reply(400, "too long", code="context_length_exceeded")
        return (200, reply_of(asked, None, "tool_calls")) if calls == 4 else completion_reply(asked)

    served.answer = answer
    batch("submit")
    served.finish()
    left = batch("collect")
    assert left.completed == 4
    assert left.failures == {
        "too long (HTTP 400)": 1,
        "the server's answer holds no text (finish reason: tool_calls)": 1,
    }
    again = batch("submit")
    assert again.batch is not None
    assert again.batch.submitted == 2
    served.finish()
    result = batch("collect")
    assert (result.completed, result.reused) == (2, 4)


def test_a_batch_that_fails_as_a_whole(batch: Run, served: Platform) -> None:
    batch("submit")
    errors = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "Enqueued too much."}]}
    served.batches["batch_0"] |= {"status": "failed", "errors": errors}
    with pytest.raises(TeacherError, match=r"all 6 requests failed: Enqueued too much \(6\)"):
        batch("collect")
    again = batch("submit")
    assert again.batch is not None
    assert again.batch.submitted == 6


def test_cancelled_batches_keep_what_was_done(batch: Run, served: Platform) -> None:
    batch("submit")
    told = batch("cancel")
    assert told.batch is not None
    assert [row.status for row in told.batch.batches] == ["cancelling"]
    served.finish(only=lambda number: number == 0)
    result = batch("collect")
    assert (result.completed, result.failures) == (1, {"the batch is cancelled, and holds no answer": 5})
    cancelled = batch("cancel")
    assert cancelled.batch is not None
    assert cancelled.batch.batches == ()


def test_cancelling_what_has_ended_changes_nothing(batch: Run, served: Platform) -> None:
    batch("submit")
    served.finish()
    told = batch("cancel")
    assert told.batch is not None
    assert [row.status for row in told.batch.batches] == ["completed"]
    assert batch("collect").completed == 6


def test_batches_cost_half(batch: Run, served: Platform, saved_dir: Path) -> None:
    prices = {"price_in": 100.0, "price_out": 1000.0}
    plans = [batch(verb, **prices, dry_run=True).plan for verb in (None, "submit")]
    live, half = (plan.cost for plan in plans if plan)
    assert live == 2 * (half or 0) > 0
    with pytest.raises(UsageError, match=r"--max-cost 0.01: what is missing may cost up to 0.*--limit"):
        batch("submit", **prices, max_cost=0.01)
    assert served.asked == []
    assert list(saved_dir.iterdir()) == []
    batch("submit", **prices, max_cost=1.0)
    served.finish()
    assert batch("collect", **prices).cost == pytest.approx(6 * (10 * 100 + 4 * 1000) / 1e6 / 2)


def test_files_are_split_at_the_limits(batch: Run, served: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lines.split_lines, "__defaults__", (4, 200_000_000))
    batch("submit")
    assert [len(served.requests(name)) for name in served.batches] == [4, 2]
    served.finish()
    assert batch("collect").completed == 6


def test_the_size_of_a_file_counts_bytes() -> None:
    lines = [batch_lines.BatchLine(None, "", {}, str(n), "ä" * 10) for n in range(5)]  # type: ignore[arg-type]
    parts = list(batch_lines.split_lines(lines, max_bytes=45))
    assert [[line.custom_id for line in part] for part in parts] == [["0", "1"], ["2", "3"], ["4"]]


@pytest.mark.parametrize("call", [UPLOAD, CREATE])
@pytest.mark.parametrize("fault", [CUT, (500, {"error": {"message": "busy", "type": "error"}})])
def test_a_lost_answer_makes_no_second_batch(
    call: str, fault: object, batch: Run, served: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune_cot.teachers.server_files.time.sleep", lambda _: None)
    served.faults[call] = [fault]
    batch("submit")
    assert len(served.batches) == 1
    assert len(served.files) == 1
    served.finish()
    assert batch("collect").completed == 6


@pytest.mark.parametrize("call", [UPLOAD, CREATE])
def test_killed_between_the_steps(call: str, batch: Run, served: Platform, saved_dir: Path) -> None:
    served.faults[call] = [HOLD]
    line = ["teach", "--teacher", "openai", "--model-key", "m", "--dataset-key", DATASET, "--limit", "6"]
    line += ["--completion-key", "zs", "--base-url", served.base_url, "--saved-dir", str(saved_dir)]
    with subprocess.Popen([sys.executable, "-m", "finetune_cot", *line, "--batch", "submit"]) as process:
        assert served.held.wait(60)
        process.kill()
    assert len(served.files) == 1
    batch("submit")
    assert (len(served.files), len(served.batches)) == (1, 1)
    served.finish()
    assert batch("collect").completed == 6


def test_collecting_again_after_a_kill_adds_nothing(batch: Run, served: Platform, saved_dir: Path) -> None:
    batch("submit")
    served.finish()
    before = batch("collect").path.read_bytes()
    [path] = (saved_dir / "batches").rglob("D_*.json")
    path.write_text(path.read_text().replace('"collected": true', '"collected": false'))
    again = batch("collect")
    assert (again.completed, again.reused) == (0, 6)
    assert again.path.read_bytes() == before


@pytest.mark.parametrize("call", [UPLOAD, CREATE])
def test_a_refusal_is_one_line_and_sends_nothing_twice(
    call: str, batch: Run, served: Platform, saved_dir: Path
) -> None:
    served.faults[call] = [error_reply(403, "No batches for you")]
    with pytest.raises(TeacherError, match=r"the server refuses: No batches for you \(HTTP 403\)"):
        batch("submit")
    assert len(served.batches) == 0
    assert (saved_dir / "batches").exists() == (call == CREATE)
    batch("submit")
    assert (len(served.files), len(served.batches)) == (1, 1)


def test_a_batch_that_was_never_made_is_withdrawn(batch: Run, served: Platform, saved_dir: Path) -> None:
    served.faults[CREATE] = [error_reply(400, "no such endpoint")]
    with pytest.raises(TeacherError, match="no such endpoint"):
        batch("submit")
    batch("cancel")
    assert served.files == {}
    assert not list(saved_dir.rglob("*.json"))


def test_a_batch_that_is_gone_is_forgotten_when_it_is_cancelled(batch: Run, served: Platform) -> None:
    batch("submit")
    served.batches.clear()
    with pytest.raises(TeacherError, match="there is no such thing"):
        batch("collect")
    batch("cancel")
    again = batch("submit")
    assert again.batch is not None
    assert again.batch.submitted == 6


def test_a_server_without_lists(batch: Run, served: Platform, saved_dir: Path) -> None:
    missing = error_reply(404, "no such list")
    served.faults |= {
        "GET /v1/batches": [missing],
        "GET /v1/files": [missing],
        CREATE: [error_reply(403, "no")],
    }
    with pytest.raises(TeacherError):
        batch("submit")
    batch("submit")
    assert len(served.batches) == 1


def test_what_a_stopped_run_has_in_its_journal_is_not_sent(batch: Run, served: Platform) -> None:
    calls = 0

    def answer(asked: Asked) -> Reply:
        nonlocal calls
        calls += 1
        return completion_reply(asked) if calls < 3 else error_reply(401, "expired")

    served.answer = answer
    with pytest.raises(TeacherError, match="expired"):
        batch(None, concurrency=1)
    assert batch("status").reused == 2
    sent = batch("submit")
    assert sent.batch is not None
    assert (sent.batch.submitted, sent.reused) == (4, 2)


def test_nothing_is_sent_while_a_live_run_asks(batch: Run, served: Platform, saved_dir: Path) -> None:
    path = saved_dir / "completion_data" / "B_m__C_zs" / f"D_{DATASET}.json"
    with artifact_lock(path, "teach"), pytest.raises(ArtifactError, match="is in use by `ftcot teach`"):
        batch("submit")
    assert served.asked == []


def test_what_lines_are_refused_for_is_left_out_of_the_next_batch(batch: Run, served: Platform) -> None:
    def refusing(asked: Asked) -> Reply:
        if "max_tokens" in asked.body:
            return error_reply(400, "Use 'max_completion_tokens' instead.", param="max_tokens")
        if "temperature" in asked.body:
            return error_reply(400, "Unsupported value: 'temperature' does not support 0.7.")
        return completion_reply(asked)

    served.answer = refusing
    sampled = {"completion_key": "zs_t70", "num_completions": 2}
    for _ in range(2):  # one parameter after the other
        batch("submit", **sampled)
        served.finish()
        with pytest.raises(TeacherError, match="all 12 requests failed"):
            batch("collect", **sampled)
    batch("submit", **sampled)
    served.finish()
    result = batch("collect", **sampled)
    assert (result.completed, len(served.batches)) == (12, 3)
    for completion in read_completions(result.path).completions:
        assert completion.extra["parameters"] == {"max_completion_tokens": 128}


def test_a_prompt_that_is_too_long_says_nothing_of_the_parameters(batch: Run, served: Platform) -> None:
    too_long = "'max_tokens' is too large: this model's maximum context length is 100 tokens"
    served.answer = lambda _: error_reply(400, too_long, param="max_tokens")
    batch("submit")
    served.finish()
    with pytest.raises(TeacherError):
        batch("collect")
    batch("submit")
    assert "max_tokens" in served.requests("batch_1")[0]["body"]


def test_batches_of_another_kind_are_not_mixed(batch: Run, served: Platform) -> None:
    batch("submit")
    with pytest.raises(ArtifactError, match="max_reasoning_tokens 128, not 5"):
        batch("submit", max_reasoning_tokens=5)
    with pytest.raises(ArtifactError, match="endpoint '/v1/chat/completions', not '/v1/completions'"):
        batch("collect", endpoint="completions", chat=True)
    served.finish()
    assert batch("collect", limit=2, timeout=5.0).completed == 6  # what was asked for counts


def test_options_that_contradict(batch: Run, saved_dir: Path) -> None:
    with pytest.raises(UsageError, match="give --teacher openai"):
        batch("submit", teacher="local")
    with pytest.raises(UsageError, match="leave out --dry-run"):
        batch("collect", dry_run=True)
    plan = batch("submit", dry_run=True).plan
    assert plan is not None
    assert plan.missing == 6
    assert list(saved_dir.iterdir()) == []


def test_what_people_and_scripts_see(
    served: Platform, saved_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["teach", "--teacher", "openai", "--model-key", "m", "--dataset-key", DATASET, "--limit", "3"]
    line += ["--base-url", served.base_url, "--saved-dir", str(saved_dir), "--batch"]
    assert main([*line, "submit"]) == 0
    assert "3 requests under way; --batch collect takes what is back" in capsys.readouterr().out
    served.finish()
    assert main([*line, "collect", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["batch"]["reasoned"] == 3
    assert shown["batch"]["batches"][0]["status"] == "completed"
    assert main([*line, "submit"]) == 0
    served.finish()
    assert main([*line, "collect"]) == 0
    assert "next: ftcot build-finetune-data" in capsys.readouterr().out
