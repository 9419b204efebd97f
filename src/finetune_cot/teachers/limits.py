"""How fast a server may be asked: by the user's limits, by those that it tells, and after it said "wait"."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping

from finetune_cot.teachers.retries import LONGEST_BACKOFF, backoff, seconds_to_wait

_LONG = 30.0
"""Seconds of a wait that is worth telling of."""
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Pace:
    """Spaces things out evenly, so that in no minute there are more than allowed.

    Args:
        per_minute: How much there may be; None for any amount.
    """

    def __init__(self, per_minute: float | None) -> None:
        self._per_minute = per_minute
        self._free = 0.0

    def book(self, amount: float) -> float:
        """The moment from which so much may be done, by ``time.monotonic``; what follows comes after it."""
        start = max(time.monotonic(), self._free)
        if self._per_minute:
            self._free = start + amount * 60 / self._per_minute
        return start

    def give_back(self, amount: float) -> None:
        """Take back a part of what was booked; what was used beyond it is negative."""
        if self._per_minute:
            self._free -= amount * 60 / self._per_minute

    def at_most(self, per_minute: float) -> None:
        """Slow down to what the server allows."""
        self._per_minute = min(per_minute, self._per_minute or per_minute)


class Limits:
    """When the next request may be sent.

    Args:
        requests_per_minute: By the user; None for no limit.
        tokens_per_minute: By the user, of prompts and completions together; None for no limit.
        max_backoff: Seconds that are waited, at most, where a server does not say how long.
        tell: Told of long waits.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        max_backoff: float = LONGEST_BACKOFF,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._requests = Pace(requests_per_minute)
        self._tokens = Pace(tokens_per_minute)
        self._max_backoff = max_backoff
        self._tell = tell
        self._closed_until = 0.0
        self._closed_at = 0.0
        self.crowded = 0
        """How often in a row the server had too much to do, with no answer between."""

    async def turn(self, tokens: float) -> None:
        """Wait until a request of about so many tokens may be sent."""
        await self._opened()
        start = max(self._requests.book(1), self._tokens.book(tokens))
        while (wait := start - time.monotonic()) > 0:
            await asyncio.sleep(wait)
            await self._opened()

    def answered(self, headers: Mapping[str, str], booked: float, used: float) -> None:
        """Learn from an answer.

        Args:
            headers: Its headers, which may tell limits and what remains of them.
            booked: Tokens that its request was let through with.
            used: Tokens that it took.
        """
        self.crowded = 0
        self._tokens.give_back(booked - used)
        for what, pace in (("requests", self._requests), ("tokens", self._tokens)):
            if limit := _number(headers.get(f"x-ratelimit-limit-{what}")):
                pace.at_most(limit)
            if _number(headers.get(f"x-ratelimit-remaining-{what}")) == 0:
                self._close(seconds_of(headers.get(f"x-ratelimit-reset-{what}", "")) or 0.0)

    def wait_for_all(self, headers: Mapping[str, str], sent: float) -> None:
        """Send nothing for a while, because the server has too much to do.

        Args:
            headers: Of its answer; where they do not say how long, it is longer each time.
            sent: When the request was sent that it answered so, by ``time.monotonic``. Many requests that
                were on their way together count once.
        """
        if sent >= self._closed_at:
            self.crowded += 1
        told = seconds_to_wait(headers)
        if told is not None or sent >= self._closed_at:
            self._close(backoff(self.crowded, self._max_backoff) if told is None else told)
            self._closed_at = time.monotonic()

    def _close(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        if seconds >= _LONG and until > self._closed_until + _LONG:
            self._tell(f"note: the server asks for a wait of {seconds:.0f} s; nothing is sent meanwhile")
        self._closed_until = max(self._closed_until, until)

    async def _opened(self) -> None:
        while (wait := self._closed_until - time.monotonic()) > 0:
            await asyncio.sleep(wait)


def seconds_of(duration: str) -> float | None:
    """A duration as servers write it: ``6m0s``, ``20ms``, ``1.5``; None where it is none."""
    parts = _PART.findall(duration)
    if parts and "".join(map("".join, parts)) == duration:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return _number(duration)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None
