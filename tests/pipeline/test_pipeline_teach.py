"""`ftcot teach` as a function: what is asked, what is kept, and what is refused."""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import journal_path, read_completions
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.cli.main import main
from finetune_cot.config.teach import TeachConfig
from finetune_cot.errors import ArtifactError, DataError, TeacherError, UsageError
from finetune_cot.pipeline.teach import teach
from tests.loopback import Asked, Loopback, Reply, completion_reply, error_reply, loopback, reply_of

DATASET = "bundled_coin_flip"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def config(saved_dir: Path) -> Callable[[Loopback], TeachConfig]:
    def make(served: Loopback) -> TeachConfig:
        return TeachConfig(
            model_key="org/m",
            dataset_key=DATASET,
            teacher="openai",
            base_url=served.base_url,
            limit=6,
            max_retries=0,
            saved_dir=saved_dir,
        )

    return make


Make = Callable[[Loopback], TeachConfig]


def test_a_server_teaches_and_is_not_asked_again(config: Make, saved_dir: Path) -> None:
    with loopback() as served:
        first, second = teach(config(served)), teach(config(served))
    path = saved_dir / "completion_data" / "B_org-m__C_zs_cot" / f"D_{DATASET}.json"
    assert first.path == second.path == path
    assert (first.requested, first.completed, first.reused, first.failed) == (6, 6, 0, 0)
    assert (second.requested, second.completed, second.reused, second.failed) == (6, 0, 6, 0)
    assert (first.prompt_tokens, first.completion_tokens) == (120, 48)
    assert (second.prompt_tokens, second.completion_tokens) == (0, 0)
    assert first.distinct_rationales == second.distinct_rationales == 6
    assert first.cost is None
    assert len(served.asked) == 12
    metadata = json.loads(path.read_text())["metadata"]
    assert metadata["manifest"]["command"] == "teach"
    assert metadata["manifest"]["config"]["dataset_key"] == DATASET
    assert metadata["temperature"] == 0.0
    assert sorted(item.name for item in path.parent.iterdir()) == [path.name]


def test_from_8_to_64_only_56_are_asked_for(config: Make) -> None:
    with loopback() as served:
        diverse = replace(config(served), completion_key="zs_cot_t70", limit=1, endpoint="completions")
        assert teach(replace(diverse, num_completions=8)).completed == 8
        result = teach(replace(diverse, num_completions=64))
    assert (result.requested, result.completed, result.reused) == (64, 56, 8)
    assert len(served.asked) == 128
    assert all(asked.body["temperature"] == 0.7 for asked in served.asked)
    assert result.distinct_rationales == 1  # this server says the same every time
    keys = [completion.key for completion in read_completions(result.path).completions]
    assert keys == [(keys[0][0], index) for index in range(64)]


def test_greedy_refuses_several_completions(config: Make, saved_dir: Path) -> None:
    with loopback() as served, pytest.raises(UsageError, match="use zs_cot_t70, or give a --temperature"):
        teach(replace(config(served), num_completions=2))
    assert list(saved_dir.iterdir()) == []
    assert served.asked == []


def test_failures_are_counted_and_asked_again(config: Make, capsys: pytest.CaptureFixture[str]) -> None:
    down = True

    def answer(asked: Asked) -> Reply:
        return (
            error_reply(500, "overloaded") if down and "no" in asked.text[-60:] else completion_reply(asked)
        )

    with loopback(answer) as served:
        everything = replace(config(served), limit=None)
        first = teach(everything)
        down = False
        second = teach(everything)
    assert first.failed > 0
    assert first.failures == {"overloaded (HTTP 500)": first.failed}
    assert first.completed + first.failed == first.requested
    assert f"{first.failed} requests failed, and are asked again next time" in capsys.readouterr().err
    assert (second.completed, second.reused, second.failed) == (first.failed, first.completed, 0)


def test_where_every_request_fails_nothing_is_left(config: Make, saved_dir: Path) -> None:
    with (
        loopback(lambda _: error_reply(500, "overloaded")) as served,
        pytest.raises(TeacherError, match=r"all 6 requests failed: overloaded \(HTTP 500\) \(6\)"),
    ):
        teach(config(served))
    assert list(saved_dir.iterdir()) == []


def test_what_failed_is_told_also_where_the_run_is_refused(
    config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(asked: Asked) -> Reply:
        if len(served.asked) == 3:
            return error_reply(400, "flagged", code="content_filter")
        return completion_reply(asked) if len(served.asked) < 6 else error_reply(401, "expired")

    with loopback(answer) as served, pytest.raises(TeacherError, match="expired"):
        teach(replace(config(served), concurrency=1))
    assert "  1: flagged (HTTP 400) (samples " in capsys.readouterr().err


def test_a_refusal_in_the_middle_keeps_what_is_done(config: Make) -> None:
    healthy = 5

    def answer(asked: Asked) -> Reply:
        return completion_reply(asked) if len(served.asked) <= healthy else error_reply(401, "expired")

    with loopback(answer) as served:
        steady = replace(config(served), concurrency=1)
        with pytest.raises(TeacherError, match="expired"):
            teach(steady)
        healthy = 1000
        result = teach(steady)
    assert (result.completed, result.reused) == (4, 2)


def test_two_runs_at_once(config: Make, saved_dir: Path) -> None:
    path = saved_dir / "completion_data" / "B_org-m__C_zs_cot" / f"D_{DATASET}.json"
    with loopback() as served, artifact_lock(path, "teach"), pytest.raises(ArtifactError) as caught:
        teach(config(served))
    assert f"is in use by `ftcot teach` (process {os.getpid()} on {socket.gethostname()}" in str(caught.value)
    assert served.asked == []


def test_completions_made_in_another_way_are_not_mixed(config: Make) -> None:
    with loopback() as served:
        first = teach(config(served))
        before = first.path.read_bytes()
        longer = replace(config(served), max_reasoning_tokens=200, limit=8)
        with pytest.raises(ArtifactError, match="max_reasoning_tokens 128, not 200"):
            teach(longer)
        assert first.path.read_bytes() == before
        replaced = teach(replace(longer, overwrite=True))
        assert (replaced.completed, replaced.reused) == (8, 0)
        assert teach(replace(longer, overwrite=True)).reused == 8
    assert read_completions(first.path).metadata["max_reasoning_tokens"] == 200


def test_names_that_give_the_same_path_are_not_mixed(config: Make) -> None:
    with loopback() as served:
        teach(config(served))
        with pytest.raises(ArtifactError, match="was made with model_key 'org/m', not 'org-m'"):
            teach(replace(config(served), model_key="org-m"))


def test_a_question_that_changed_is_asked_again_where_it_may_be(config: Make, tmp_path: Path) -> None:
    def write(first: str) -> None:
        questions = [first, "Ben has 2 pens. How many pens?", "Cy has 3 pens. How many pens?"]
        rows = [{"sample_index": i, "question": text, "answer": "1"} for i, text in enumerate(questions)]
        path = tmp_path / "data" / "dataset" / "addsub.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"metadata": {}, "data": rows}))

    with loopback() as served:
        imported = replace(config(served), dataset_key="addsub", data_dir=tmp_path / "data", limit=None)
        write("Ann has 1 pen. How many pens?")
        before = read_completions(teach(imported).path).completions
        write("Ann has 9 pens. How many pens?")
        with pytest.raises(ArtifactError, match="1 completions answer other questions than the data set has"):
            teach(imported)
        asked = len(served.asked)
        replaced = teach(replace(imported, overwrite=True))
    assert (replaced.completed, replaced.reused, len(served.asked) - asked) == (1, 2, 2)
    content = read_completions(replaced.path)
    assert content.completions[0].question == "Ann has 9 pens. How many pens?"
    assert content.completions[1:] == before[1:]
    assert content.metadata["lost_tokens"] == {"prompt": 20, "completion": 8}  # of the one that was replaced


def test_replacing_goes_on_where_it_was_stopped(config: Make) -> None:
    with loopback() as served:
        first = teach(config(served))
    calls = 0

    def answer(asked: Asked) -> Reply:
        nonlocal calls
        calls += 1
        return completion_reply(asked) if calls != 5 else error_reply(401, "expired")

    with loopback(answer) as served:
        longer = replace(config(served), max_reasoning_tokens=200, overwrite=True, concurrency=1)
        with pytest.raises(TeacherError):
            teach(longer)
        assert not first.path.exists()
        assert journal_path(first.path).exists()
        assert len(read_completions(first.path).completions) == 2
        result = teach(longer)
    assert (result.completed, result.reused) == (4, 2)


def test_a_dry_run_shows_the_plan_and_does_nothing(config: Make, saved_dir: Path) -> None:
    with loopback() as served:
        result = teach(replace(config(served), dry_run=True))
    assert served.asked == []
    assert list(saved_dir.iterdir()) == []
    assert result.plan is not None
    assert result.plan.missing == result.requested == 6
    assert result.plan.completion_tokens == 6 * 160
    assert result.plan.first_prompt.startswith("Q: ")
    assert result.plan.writes == result.path


def test_what_it_costs_is_announced_and_told(config: Make) -> None:
    with loopback() as served:
        priced = replace(config(served), price_in=2.0, price_out=8.0)
        plan = teach(replace(priced, dry_run=True)).plan
        result = teach(priced)
    assert plan is not None
    assert plan.requests == len(served.asked) == 12
    assert plan.cost == pytest.approx((plan.prompt_tokens * 2 + plan.completion_tokens * 8) / 1e6)
    assert result.cost == pytest.approx((120 * 2 + 48 * 8) / 1e6)


def test_the_cost_has_a_limit(config: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with loopback() as served:
        limited = replace(config(served), price_in=2.0, price_out=8.0, max_cost=0.0029, concurrency=1)
        first = teach(limited)
        assert 0 < first.completed < 6
        assert first.cost is not None
        assert first.cost <= 0.0029
        assert first.failures == {"not asked, as --max-cost is reached": first.failed}
        assert f"  {first.failed}: not asked, as --max-cost is reached (samples " in capsys.readouterr().err
        assert teach(replace(limited, max_cost=None)).completed == first.failed
        with pytest.raises(
            UsageError, match="what org/m costs is not known; give --price-in and --price-out"
        ):
            teach(replace(config(served), max_cost=1.0))


def test_what_was_cut_off_is_no_whole_completion(config: Make) -> None:
    with loopback(lambda asked: (200, reply_of(asked, " So", "length"))) as served:
        result = teach(config(served))
    assert (result.completed, result.incomplete) == (6, {"length": 6})


def test_a_dry_run_needs_the_key(saved_dir: Path) -> None:
    config = TeachConfig(teacher="openai", model_key="m", saved_dir=saved_dir, dry_run=True)
    with pytest.raises(UsageError, match="OPENAI_API_KEY is not set"):
        teach(config)


def test_human_rationales(saved_dir: Path) -> None:
    config = TeachConfig(teacher="rationale", dataset_key=DATASET, saved_dir=saved_dir, split="train")
    result = teach(config)
    assert result.path.parent.name == "B_rationale__C_zs_cot"
    assert result.model_key == "rationale"
    assert result.completed == result.distinct_rationales == result.requested == 210
    assert result.cost == 0.0
    before = result.path.read_bytes()
    assert teach(config).reused == 210
    assert result.path.read_bytes() == before


def test_a_data_set_without_rationales(saved_dir: Path, shared_data: Path) -> None:
    config = TeachConfig(teacher="rationale", dataset_key="addsub", saved_dir=saved_dir, data_dir=shared_data)
    with pytest.raises(DataError, match="addsub brings no rationales along"):
        teach(config)
    assert list(saved_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--dataset-key", "../up"], 2, "holds a path separator"),
        (["--dataset-key", "gsm9k"], 2, "did you mean gsm8k"),
        (["--dataset-key", "gsm8k"], 1, "no data folder"),
        (["--completion-key", "zs_cott"], 2, "did you mean zs_cot"),
        (["--model-key", "./none"], 1, "./none"),
        (["--load-model-dir", "none"], 1, "no fine-tuned model is there"),
        (["--teacher", "openai", "--model-key", "m"], 2, "OPENAI_API_KEY"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FTCOT_DATA_DIR", "FTCOT_SAVED_DIR", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["teach", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert message in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_torn_file_is_named(config: Make) -> None:
    with loopback() as served:
        path = teach(config(served)).path
        path.write_text(path.read_text()[:500])
        with pytest.raises(ArtifactError) as caught:
            teach(config(served))
    assert str(path) in str(caught.value)
    assert "torn" in str(caught.value)
    assert path.read_text() == path.read_text()[:500]


def test_what_people_see(config: Make, capsys: pytest.CaptureFixture[str], saved_dir: Path) -> None:
    common = ["--teacher", "rationale", "--dataset-key", DATASET, "--saved-dir", str(saved_dir)]
    assert main(["teach", *common]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "300 completions written, 0 were there, 0 failed; 300 distinct rationales (100%)"
    assert lines[-1].startswith("next: ftcot build-finetune-data --model-key rationale --dataset-key ")
    assert main(["teach", *common, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    counts = {"requested", "completed", "reused", "failed", "distinct_rationales"}
    assert counts | {"path", "prompt_tokens", "completion_tokens", "cost", "seconds"} <= shown.keys()
    assert shown["reused"] == 300
