"""What tokens cost, and how a server's counts are read."""

import pytest

from finetune_cot.teachers.prices import Prices, known_prices
from finetune_cot.teachers.usage import TokenUsage, total, usage_of

LOCAL = "http://localhost:8000/v1"


def test_cost_of_cached_and_fresh_tokens() -> None:
    usage = TokenUsage(prompt=3_000_000, completion=500_000, cached=1_000_000, reasoning=400_000)
    prices = Prices(prompt=2.0, completion=8.0, cached=0.5)
    assert prices.cost(usage) == 2 * 2.0 + 0.5 + 0.5 * 8.0
    assert prices.cost(usage, discount=0.5) == prices.cost(usage) / 2


def test_prices_of_the_user_come_first() -> None:
    assert known_prices("m", LOCAL, 1.0, 2.0) == Prices(1.0, 2.0, cached=1.0)
    listed = known_prices("gpt-4o-mini", None)
    assert listed == Prices(pytest.approx(0.15), pytest.approx(0.6), cached=pytest.approx(0.075))
    assert known_prices("gpt-4o-mini", None, price_out=3.0) == Prices(listed.prompt, 3.0, listed.cached)


def test_unknown_prices() -> None:
    assert known_prices("m", LOCAL) is None
    assert known_prices("m", LOCAL, price_in=1.0) is None
    assert known_prices("no-such-model", None) is None


@pytest.mark.parametrize(
    ("counted", "usage"),
    [
        (None, TokenUsage()),
        ("many", TokenUsage()),
        ({"prompt_tokens": None, "completion_tokens": "4"}, TokenUsage()),
        ({"prompt_tokens": 10, "completion_tokens": 4}, TokenUsage(10, 4)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            TokenUsage(10, 4, 8, 3),
        ),
        ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 6}, TokenUsage(10, cached=6)),
    ],
)
def test_counts_of_servers(counted: object, usage: TokenUsage) -> None:
    assert usage_of(counted) == usage


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_shares_of_choices_add_up(count: int) -> None:
    usage = TokenUsage(100, 23, 64, 11)
    shares = usage.shares(count)
    assert len(shares) == count
    assert total(shares) == usage
