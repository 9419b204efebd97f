"""What a server answered: choices with their text, and the tokens that they took."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_cot.teachers.usage import TokenUsage, usage_of


class NoCompletionError(Exception):
    """The server answered with something that is no completion; trying again may help."""


class NoTextError(Exception):
    """The server answered without a text, and would again."""


@dataclass(frozen=True)
class Choice:
    """One text that a server wrote."""

    text: str
    finish_reason: str | None
    hidden_reasoning: str | None = None
    """What a reasoning model thought before it wrote, where the server shows it."""


@dataclass(frozen=True)
class Reply:
    """An answer of a server."""

    choices: tuple[Choice, ...]
    """At least one, each only once."""
    usage: TokenUsage
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What was sent besides the model and the prompt."""


def read_reply(body: bytes, parameters: Mapping[str, Any]) -> Reply:
    """The reply that a body holds, as `reply_of`."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise NoCompletionError("the server's answer is no completion") from None
    return reply_of(told, parameters)


def reply_of(told: Any, parameters: Mapping[str, Any]) -> Reply:
    """The choices of an answer of the chat or the completions endpoint, each only once.

    Args:
        told: The answer as JSON values.
        parameters: What was sent besides the model and the prompt.

    Raises:
        NoCompletionError: it is no completion.
        NoTextError: no choice holds a text.
    """
    try:
        found = {choice.get("index", place): choice for place, choice in enumerate(told["choices"])}
        choices = [_choice(found[index]) for index in sorted(found, key=str)]
    except (KeyError, TypeError, AttributeError):
        found = {}
    if not found:
        raise NoCompletionError("the server's answer is no completion")
    texts = tuple(choice for choice in choices if choice is not None)
    if not texts:
        reasons = sorted({str(choice.get("finish_reason") or "unknown") for choice in found.values()})
        raise NoTextError(f"the server's answer holds no text (finish reason: {', '.join(reasons)})")
    return Reply(texts, usage_of(told.get("usage")), parameters)


def ended(choice: Choice, stops: Sequence[str]) -> Choice:
    """A choice that ends before the first of its stop strings, as it does where the server knows them."""
    place = min((at for stop in stops if (at := choice.text.find(stop)) >= 0), default=None)
    return choice if place is None else Choice(choice.text[:place], "stop", choice.hidden_reasoning)


def _choice(told: Any) -> Choice | None:
    """A choice, or None where it holds no text; one that a filter or the limit left empty is an empty one."""
    message = told.get("message")
    parts = message if isinstance(message, dict) else told
    text = parts.get("content") if parts is message else parts.get("text")
    reason = told.get("finish_reason")
    if text is None and reason in ("content_filter", "length"):
        text = ""
    if not isinstance(text, str):
        return None
    hidden = parts.get("reasoning_content") or parts.get("reasoning")
    return Choice(
        text, reason if isinstance(reason, str) else None, hidden if isinstance(hidden, str) else None
    )
