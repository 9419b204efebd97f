"""What an error of a server means: try again, let everybody wait, leave this sample, or stop."""

import email.utils
import math
import random
import re
import time
from collections.abc import Mapping
from enum import Enum, auto

import openai

LONGEST_BACKOFF = 20.0
"""Seconds; a server that names a longer wait is waited for as long as it says."""
_FIRST_BACKOFF = 0.5

_OF_THE_REQUEST = (400, 413, 422)
_OF_THIS_PROMPT = frozenset(
    {"content_filter", "content_policy_violation", "context_length_exceeded", "string_above_max_length"}
)
_TOO_LONG = re.compile(
    r"context (length|window|size)|exceed_context|prompt is too long|maximum model length", re.I
)


class Meaning(Enum):
    """What follows from an error."""

    AGAIN = auto()
    """The request is tried again."""
    CROWDED = auto()
    """The server has too much to do: no request is sent for a while."""
    SAMPLE = auto()
    """It concerns one sample alone, and trying again is in vain."""
    RUN = auto()
    """It would befall every other request too."""


def meaning_of(error: openai.APIError, worked: bool) -> Meaning:
    """What follows from an error.

    Args:
        error: What the SDK raised.
        worked: Whether requests of the same form have been answered; if so, a bad one is bad for its sample.
    """
    if isinstance(error, openai.APIConnectionError):
        return Meaning.AGAIN
    status = error.status_code if isinstance(error, openai.APIStatusError) else 500
    if error.code == "insufficient_quota":
        return Meaning.RUN
    if status == 429:
        return Meaning.CROWDED
    if status in (408, 409) or status >= 500:
        return Meaning.AGAIN
    if status in _OF_THE_REQUEST and (
        worked or is_of_this_prompt(error.code, f"{error.message} {error.body}")
    ):
        return Meaning.SAMPLE
    return Meaning.RUN


def seconds_to_wait(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """How long a server asks to wait by ``Retry-After``, in seconds; None where it does not say.

    Args:
        headers: Of its answer.
        now: Seconds since 1970; by default the time that it is.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        told = headers.get(name, "")
        try:
            seconds = float(told) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return max(date.timestamp() - (time.time() if now is None else now), 0.0)


def backoff(attempt: int, longest: float = LONGEST_BACKOFF) -> float:
    """Seconds to wait before an attempt: twice as long each time, and never in step with others.

    Args:
        attempt: From 1.
        longest: Seconds, at most.
    """
    most = min(_FIRST_BACKOFF * 2.0 ** min(attempt - 1, 30), longest)
    return most * random.uniform(0.5, 1.0)


def is_of_this_prompt(code: object, told: str) -> bool:
    """Whether a bad request is bad for what it asks, not for how.

    Args:
        code: The error's code, where it has one.
        told: What the server says of it.
    """
    return code in _OF_THIS_PROMPT or bool(_TOO_LONG.search(told))
