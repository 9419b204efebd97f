"""What a completion file costs in all: earlier runs, what failed on the way, and batches."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.completions import read_completions
from finetune_cot.config.teach import TeachConfig
from finetune_cot.errors import TeacherError, UsageError
from finetune_cot.pipeline.teach import TeachResult, teach
from tests.loopback import Asked, Reply, completion_reply, error_reply, reply_of
from tests.loopback_platform import Platform, loopback_platform

IN, OUT = 100.0, 1000.0
"""US dollars for a million tokens; each reply of the server takes 10 and 4."""
REPLY = (10 * IN + 4 * OUT) / 1e6


@pytest.fixture
def served() -> Iterator[Platform]:
    with loopback_platform() as platform:
        yield platform


Run = Callable[..., TeachResult]


@pytest.fixture
def run(served: Platform, saved_dir: Path) -> Run:
    config = TeachConfig(
        model_key="m",
        dataset_key="bundled_coin_flip",
        completion_key="zs",
        teacher="openai",
        base_url=served.base_url,
        limit=6,
        max_retries=0,
        concurrency=1,
        price_in=IN,
        price_out=OUT,
        max_reasoning_tokens=8,
        saved_dir=saved_dir,
    )
    return lambda **options: teach(replace(config, **options))


def noted(path: Path) -> float | None:
    """The cost in the manifest."""
    manifest = read_completions(path).manifest
    assert manifest is not None
    return manifest.cost


def test_the_limit_is_that_of_all_runs_together(run: Run) -> None:
    limited = {"limit": 60, "max_cost": 0.1}
    first = run(**limited)
    assert 0 < first.completed < 60
    assert first.total_cost == pytest.approx(first.completed * REPLY)
    second = run(**limited)  # nearer to the limit, as less is held back for what is not yet asked
    assert second.total_cost is not None
    assert second.total_cost == pytest.approx((first.completed + second.completed) * REPLY)
    assert second.total_cost <= 0.1
    plan = run(**limited, dry_run=True).plan
    assert plan is not None
    assert plan.cost_left == pytest.approx(0.1 - second.total_cost)
    assert run(**limited).completed == 0
    whole = run(limit=60)
    assert whole.reused == first.completed + second.completed
    assert noted(whole.path) == whole.total_cost == pytest.approx(60 * REPLY)
    assert run(limit=60).total_cost == whole.total_cost  # also where nothing was missing


def test_what_failed_on_the_way_is_counted_also_where_the_run_is_refused(run: Run, served: Platform) -> None:
    calls = 0

    def answer(asked: Asked) -> Reply:
        nonlocal calls
        calls += 1
        if calls == 7:
            return error_reply(401, "expired")
        second_step = "answer is" in asked.text
        return error_reply(500, "down") if second_step and calls == 2 else completion_reply(asked)

    served.answer = answer
    with pytest.raises(TeacherError, match="expired"):
        run(completion_key="zs_cot", limit=4)
    result = run(completion_key="zs_cot", limit=4)
    assert (result.reused, result.completed) == (2, 2)
    assert result.total_cost == pytest.approx(9 * REPLY)  # a first step was asked for twice
    assert read_completions(result.path).metadata["lost_tokens"] == {"prompt": 10, "completion": 4}


def test_batches_and_live_requests_are_one_sum(run: Run, served: Platform) -> None:
    run(batch="submit", limit=4)
    assert run(batch="status").total_cost is None  # the server has not counted yet
    served.finish(only=lambda number: number != 0)
    collected = run(batch="collect", limit=4)
    assert collected.total_cost == noted(collected.path) == pytest.approx(3 * REPLY / 2)
    topped_up = run()
    assert topped_up.completed == 3
    assert topped_up.total_cost == noted(topped_up.path) == pytest.approx(3 * REPLY / 2 + 3 * REPLY)


def test_what_is_under_way_by_batches_is_held_back(run: Run, served: Platform) -> None:
    run(batch="submit", limit=5, max_cost=0.1)
    plan = run(batch="submit", limit=7, dry_run=True).plan
    assert plan is not None
    assert plan.missing == 2
    with pytest.raises(UsageError, match=r"may cost up to 0.* dollars by batches, and 0.* are left"):
        run(batch="submit", limit=60, max_cost=0.1)
    served.finish()
    run(batch="collect", limit=5)
    with pytest.raises(UsageError, match="are left; raise it, or send less with --limit"):
        run(batch="submit", limit=60, max_cost=0.1)
    assert run(limit=60, max_cost=0.1).total_cost <= 0.1  # type: ignore[operator]


def test_a_file_that_is_replaced_begins_anew(run: Run, served: Platform) -> None:
    run(batch="submit")
    served.finish()
    run(batch="collect")
    again = run(max_reasoning_tokens=9, overwrite=True)
    assert again.total_cost == pytest.approx(6 * REPLY)


def test_what_is_not_known_is_not_said(run: Run, served: Platform) -> None:
    unpriced = run(price_in=None, price_out=None)
    assert unpriced.total_cost is noted(unpriced.path) is None
    served.answer = lambda asked: (200, {**reply_of(asked, " 7"), "usage": None})
    uncounted = run(limit=60, max_cost=0.1)
    assert 0 < uncounted.completed < 54
    assert uncounted.total_cost is noted(uncounted.path) is None
    assert run(limit=60, max_cost=0.1).completed == 0  # each may have cost the most that it could


def test_a_manifest_without_a_cost_is_read(run: Run) -> None:
    path = run().path
    content = json.loads(path.read_text())
    del content["metadata"]["manifest"]["cost"], content["metadata"]["sha256"]
    path.write_text(json.dumps(content))
    assert noted(path) is None
