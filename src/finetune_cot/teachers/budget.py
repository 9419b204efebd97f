"""A limit in dollars that is never passed: what requests may cost at most is held until they are done."""

from finetune_cot.teachers.prices import Prices
from finetune_cot.teachers.usage import NO_TOKENS, TokenUsage


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
