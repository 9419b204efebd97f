"""A limit in dollars that is never passed: what requests may cost at most is held until they are done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from finetune_cot.artifacts.completions import Completion
from finetune_cot.prompts.templates import is_two_step
from finetune_cot.teachers.prices import Prices
from finetune_cot.teachers.protocol import Recipe
from finetune_cot.teachers.steps import BY_BATCH, tokens_of
from finetune_cot.teachers.usage import NO_TOKENS, TokenUsage

_AROUND_A_PROMPT = 64
"""Tokens, at most, that a chat's form and the asking for an answer add to a prompt."""


@dataclass(frozen=True)
class Spent:
    """Tokens that were paid for."""

    counted: TokenUsage = NO_TOKENS
    uncounted: TokenUsage = NO_TOKENS
    """Further ones, at most, where a server has not counted them."""

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.counted + other.counted, self.uncounted + other.uncounted)

    def cost(self, prices: Prices, discount: float = 1.0) -> float | None:
        """US dollars; None where not all was counted."""
        return None if self.uncounted != NO_TOKENS else prices.cost(self.counted, discount)

    def cost_at_most(self, prices: Prices, discount: float = 1.0) -> float:
        """US dollars, with what was not counted at its most."""
        return prices.cost(self.counted + self.uncounted, discount)


def most_tokens(prompt: str, recipe: Recipe) -> TokenUsage:
    """Tokens that a completion may take: there are never more of them than bytes in its first prompt."""
    read = len(prompt.encode()) + _AROUND_A_PROMPT
    most = TokenUsage(read, recipe.max_reasoning_tokens)
    if is_two_step(recipe.template):
        most += TokenUsage(read + recipe.max_reasoning_tokens + _AROUND_A_PROMPT, recipe.max_answer_tokens)
    return most


def is_of_server(completion: Completion) -> bool:
    """Whether a server wrote a completion, at our asking; published ones do not tell what was sent."""
    return "parameters" in completion.extra


def spent_live(completions: Iterable[Completion], lost: Mapping[str, int], recipe: Recipe) -> Spent:
    """What was paid for the completions of a file that a server wrote, but not by batches.

    Args:
        completions: All of the file.
        lost: Tokens of which no completion came, by kind.
        recipe: How they were asked for.
    """
    counted, uncounted = TokenUsage(**lost), NO_TOKENS
    for completion in completions:
        if not is_of_server(completion) or BY_BATCH in completion.extra:
            continue
        tokens = tokens_of(completion)
        counted += tokens
        if not (tokens.prompt or tokens.completion):
            uncounted += most_tokens(completion.reasoning_prompt or completion.prompt, recipe)
    return Spent(counted, uncounted)


class Budget:
    """What may still be spent.

    Args:
        prices: What tokens cost.
        dollars: What may be spent in all.
    """

    def __init__(self, prices: Prices, dollars: float) -> None:
        self._prices = prices
        self._left = dollars

    def hold(self, most: TokenUsage) -> bool:
        """Hold back what a request costs at most; False, and nothing is held, where there is not so much."""
        cost = self._prices.cost(most)
        if cost > self._left:
            return False
        self._left -= cost
        return True

    def settle(self, most: TokenUsage, used: TokenUsage | None) -> None:
        """Pay for what was used of what was held.

        Args:
            most: What was held.
            used: Tokens that the server counted; where it counts none, all that was held is paid for. None
                where it wrote nothing.
        """
        if used is None or used.prompt or used.completion:
            self._left += self._prices.cost(most) - self._prices.cost(used or NO_TOKENS)
