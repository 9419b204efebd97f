"""Answers of servers, whole and broken."""

import json
from typing import Any

import pytest

from finetune_cot.teachers.replies import Choice, NoCompletionError, NoTextError, ended, read_reply


def read(*choices: Any, **rest: Any) -> tuple[Choice, ...]:
    return read_reply(json.dumps({"choices": choices, **rest}).encode(), {}).choices


def chat(content: Any, index: int = 0, reason: str = "stop", **rest: Any) -> dict[str, Any]:
    return {"index": index, "finish_reason": reason, "message": {"content": content, **rest}}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"choices": [{"index": 0, "mess', b"[]", b"null", b'{"choices": 3}', b'{"choices": []}'],
)
def test_what_is_no_completion(body: bytes) -> None:
    with pytest.raises(NoCompletionError, match="the server's answer is no completion"):
        read_reply(body, {})


def test_a_choice_that_is_sent_twice_counts_once() -> None:
    assert read(chat("a"), chat("a"), chat("b", 1)) == (Choice("a", "stop"), Choice("b", "stop"))


def test_hidden_reasoning_is_kept_apart() -> None:
    assert read(chat("7", reasoning_content="3 + 4")) == (Choice("7", "stop", "3 + 4"),)
    assert read(chat("7", reasoning="3 + 4")) == (Choice("7", "stop", "3 + 4"),)


def test_a_filter_or_the_limit_may_leave_nothing() -> None:
    assert read(chat(None, reason="content_filter")) == (Choice("", "content_filter"),)
    assert read(chat(None, reason="length", reasoning_content="so")) == (Choice("", "length", "so"),)
    with pytest.raises(NoTextError, match="finish reason: tool_calls"):
        read(chat(None, reason="tool_calls"))


def test_texts_of_the_older_endpoint() -> None:
    assert read({"text": " 7", "finish_reason": "stop"}, {"text": " 8"}) == (
        Choice(" 7", "stop"),
        Choice(" 8", None),
    )


def test_a_text_ends_before_its_first_stop_string() -> None:
    assert ended(Choice("a\nQ: b. c", "length"), ["c", "\nQ:"]) == Choice("a", "stop")
    assert ended(Choice("a", "length"), ["\nQ:"]) == Choice("a", "length")
