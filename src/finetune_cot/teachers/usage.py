"""Tokens that a server counts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TokenUsage:
    """Tokens of one request or of many; 0 where none were counted."""

    prompt: int = 0
    """Tokens read, those from a cache among them."""
    completion: int = 0
    """Tokens written, those of hidden reasoning among them."""
    cached: int = 0
    """Tokens of the prompt that came from the server's cache."""
    reasoning: int = 0
    """Tokens of hidden reasoning."""

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            self.prompt + other.prompt,
            self.completion + other.completion,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )

    def shares(self, count: int) -> list["TokenUsage"]:
        """What each of several choices of one reply stands for; the first bears the prompt, and the rest."""
        rest = TokenUsage(
            completion=self.completion // count * (count - 1),
            reasoning=self.reasoning // count * (count - 1),
        )
        first = TokenUsage(
            self.prompt, self.completion - rest.completion, self.cached, self.reasoning - rest.reasoning
        )
        each = TokenUsage(completion=self.completion // count, reasoning=self.reasoning // count)
        return [first, *[each] * (count - 1)]


NO_TOKENS = TokenUsage()


def total(usages: Iterable[TokenUsage]) -> TokenUsage:
    """The sum of several counts."""
    return sum(usages, NO_TOKENS)


def usage_of(counted: Any) -> TokenUsage:
    """The tokens of a reply's ``usage``; what is missing or no number counts as 0."""

    def number(part: Any, name: str) -> int:
        value = part.get(name) if isinstance(part, dict) else None
        return value if isinstance(value, int) and value > 0 else 0

    told = counted if isinstance(counted, dict) else {}
    prompt = number(told, "prompt_tokens")
    # DeepSeek tells of its cache under a name of its own.
    cached = number(told.get("prompt_tokens_details"), "cached_tokens") or number(
        told, "prompt_cache_hit_tokens"
    )
    return TokenUsage(
        prompt=prompt,
        completion=number(told, "completion_tokens"),
        cached=min(prompt, cached),
        reasoning=number(told.get("completion_tokens_details"), "reasoning_tokens"),
    )
