"""How fast a server is asked."""

import asyncio
import time

import pytest

from finetune_cot.teachers.limits import Limits, seconds_of


def seconds_for(limits: Limits, requests: int, tokens: float = 0.0) -> float:
    """How long it takes until so many requests may be sent."""

    async def all_turns() -> None:
        await asyncio.gather(*(limits.turn(tokens) for _ in range(requests)))

    began = time.monotonic()
    asyncio.run(all_turns())
    return time.monotonic() - began


def test_no_limit_takes_no_time() -> None:
    assert seconds_for(Limits(None, None), 200) < 0.2


def test_requests_and_tokens_a_minute() -> None:
    assert 0.19 < seconds_for(Limits(1200, None), 5) < 2
    assert 0.19 < seconds_for(Limits(None, 60_000), 5, tokens=50) < 2


def test_tokens_that_were_not_used_are_given_back() -> None:
    limits = Limits(None, 60_000)
    seconds_for(limits, 1, tokens=100_000)
    limits.answered({}, booked=100_000, used=50)
    assert seconds_for(limits, 2, tokens=10) < 0.3


def test_the_limits_of_the_server_are_kept() -> None:
    limits = Limits(None, None)
    limits.answered({"x-ratelimit-limit-requests": "1200"}, 0, 0)
    assert 0.19 < seconds_for(limits, 5) < 2
    limits = Limits(None, None)
    limits.answered({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "200ms"}, 0, 0)
    assert 0.19 < seconds_for(limits, 1) < 2


def test_one_refusal_lets_all_wait_and_many_at_once_count_once() -> None:
    limits = Limits(None, None)
    sent = time.monotonic()
    for _ in range(10):
        limits.wait_for_all({"retry-after": "0.2"}, sent)
    assert limits.crowded == 1
    assert 0.19 < seconds_for(limits, 20) < 2
    limits.wait_for_all({"retry-after": "0"}, time.monotonic())
    assert limits.crowded == 2
    limits.answered({}, 0, 0)
    assert limits.crowded == 0


def test_a_long_wait_is_told_once() -> None:
    told: list[str] = []
    limits = Limits(None, None, tell=told.append)
    sent = time.monotonic()
    for _ in range(5):
        limits.wait_for_all({"retry-after": "7200"}, sent)
        limits.wait_for_all({"retry-after": "2"}, sent)
    assert told == ["note: the server asks for a wait of 7200 s; nothing is sent meanwhile"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("1.5", 1.5), ("", None), ("soon", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds
