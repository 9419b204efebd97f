"""What a server's errors mean, and how long is waited."""

import httpx2
import openai
import pytest

from finetune_cot.teachers.retries import LONGEST_BACKOFF, Meaning, backoff, meaning_of, seconds_to_wait

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1/completions")


def error(status: int, message: str = "", code: str | None = None) -> openai.APIStatusError:
    body = {"message": message, "code": code}
    return openai.APIStatusError(message, response=httpx2.Response(status, request=REQUEST), body=body)


@pytest.mark.parametrize("worked", [False, True])
@pytest.mark.parametrize(
    ("status", "code", "meaning"),
    [
        (408, None, Meaning.AGAIN),
        (409, None, Meaning.AGAIN),
        (500, None, Meaning.AGAIN),
        (503, None, Meaning.AGAIN),
        (529, None, Meaning.AGAIN),
        (429, None, Meaning.CROWDED),
        (429, "insufficient_quota", Meaning.RUN),
        (401, None, Meaning.RUN),
        (403, None, Meaning.RUN),
        (404, None, Meaning.RUN),
        (400, "context_length_exceeded", Meaning.SAMPLE),
        (400, "content_filter", Meaning.SAMPLE),
    ],
)
def test_meaning(status: int, code: str | None, meaning: Meaning, worked: bool) -> None:
    assert meaning_of(error(status, code=code), worked) is meaning


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_is_bad_for_its_sample_once_others_were_answered(status: int) -> None:
    assert meaning_of(error(status, "unknown field"), worked=False) is Meaning.RUN
    assert meaning_of(error(status, "unknown field"), worked=True) is Meaning.SAMPLE


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",  # vLLM
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096",  # vLLM
        "Requested tokens (2100) exceed context window of 2048",  # llama-cpp-python
        "the request exceeds the available context size, try increasing it",  # llama-server
    ],
)
def test_a_prompt_that_is_too_long_by_words_alone(message: str) -> None:
    assert meaning_of(error(400, message), worked=False) is Meaning.SAMPLE


def test_lost_connections_are_tried_again() -> None:
    assert meaning_of(openai.APIConnectionError(request=REQUEST), worked=False) is Meaning.AGAIN
    assert meaning_of(openai.APITimeoutError(REQUEST), worked=False) is Meaning.AGAIN


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7200"}, 7200.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 02:00:00 GMT"}, 7100.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_of_any_length(headers: dict[str, str], seconds: float | None) -> None:
    assert seconds_to_wait(headers, now=100.0) == seconds


def test_backoff_doubles_up_to_its_longest() -> None:
    for attempt in range(1, 2000, 7):
        longest = min(0.5 * 2 ** min(attempt - 1, 99), LONGEST_BACKOFF)
        assert longest / 2 <= backoff(attempt) <= longest
    assert backoff(9, longest=0.2) <= 0.2
