"""What requests cost: dollars for a million tokens, as the user gives them or as a kept table lists them."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from finetune_cot.teachers.access import OPENAI_URL
from finetune_cot.teachers.usage import TokenUsage

_MILLION = 1_000_000
_OWN_MACHINE = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
_FEW = 1_000
"""Tokens at which the table is read: some models cost more where a prompt is very long."""


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens."""

    prompt: float
    completion: float
    cached: float
    """Of prompt tokens that come from the server's cache."""

    def cost(self, usage: TokenUsage, discount: float = 1.0) -> float:
        """US dollars for these tokens.

        Args:
            usage: The tokens.
            discount: What the whole is multiplied with: 0.5 for OpenAI's batches.
        """
        fresh = usage.prompt - usage.cached
        dollars = fresh * self.prompt + usage.cached * self.cached + usage.completion * self.completion
        return dollars * discount / _MILLION


def known_prices(
    model: str, base_url: str | None, price_in: float | None = None, price_out: float | None = None
) -> Prices | None:
    """Prices as the user gives them, or else those of the package ``genai-prices``; None where unknown.

    Args:
        model: The model's name at the server.
        base_url: The server's address; None for OpenAI.
        price_in: US dollars for a million tokens read.
        price_out: US dollars for a million tokens written.
    """
    if price_in is not None and price_out is not None:
        return Prices(price_in, price_out, cached=price_in)
    listed = _listed(model, base_url or OPENAI_URL)
    if listed is None:
        return None
    return Prices(
        prompt=listed.prompt if price_in is None else price_in,
        completion=listed.completion if price_out is None else price_out,
        cached=listed.cached if price_in is None else price_in,
    )


def _listed(model: str, base_url: str) -> Prices | None:
    if urlsplit(base_url).hostname in _OWN_MACHINE:
        return None
    from genai_prices import Usage, calc_price  # takes a second to import

    def dollars(read: int, written: int, cached: int) -> float:
        usage = Usage(input_tokens=read, output_tokens=written, cache_read_tokens=cached)
        return float(calc_price(usage, model, provider_api_url=base_url).total_price) * _MILLION / _FEW

    try:
        return Prices(
            prompt=dollars(_FEW, 0, 0), completion=dollars(0, _FEW, 0), cached=dollars(_FEW, 0, _FEW)
        )
    except LookupError:
        return None
