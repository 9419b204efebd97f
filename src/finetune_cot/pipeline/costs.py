"""What a completion file costs in all: live requests, batches, and what may still be spent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune_cot.artifacts.batch_ledger import Batch, ledger_path, read_batches
from finetune_cot.artifacts.completions import LOST_TOKENS, Completion
from finetune_cot.config.teach import TeachConfig
from finetune_cot.errors import UsageError
from finetune_cot.pipeline.jobs import Job, Options
from finetune_cot.teachers.budget import Spent, is_of_server, spent_live
from finetune_cot.teachers.protocol import Recipe
from finetune_cot.teachers.usage import TokenUsage

if TYPE_CHECKING:
    from finetune_cot.teachers.prices import Prices

BATCH_DISCOUNT = 0.5
"""What a batch costs of the price of live requests, at OpenAI and at others."""


@dataclass(frozen=True)
class Costs:
    """Prices, what batches have taken, and the limit of the whole."""

    prices: "Prices | None"
    """None where they are not known, or no server is asked."""
    by_batches: Spent
    recipe: Recipe
    """How the completions are asked for."""
    limit: float | None
    """US dollars that the file may cost; only with prices."""
    lost: Mapping[str, int]
    """Tokens of which no completion came, by kind, as the file tells."""

    def in_all(
        self, completions: Iterable[Completion], lost: Mapping[str, int] | None = None
    ) -> float | None:
        """US dollars that the file has cost; None where that is not known.

        Args:
            completions: All of it.
            lost: Tokens of which no completion came, if they are others than before.
        """
        lost = self.lost if lost is None else lost
        if self.prices is None:
            is_paid = self.by_batches != Spent() or lost or any(map(is_of_server, completions))
            return None if is_paid else 0.0
        live = spent_live(completions, lost, self.recipe).cost(self.prices)
        batches = self.by_batches.cost(self.prices, BATCH_DISCOUNT)
        return None if live is None or batches is None else live + batches

    def left(self, completions: Iterable[Completion], lost: Mapping[str, int] | None = None) -> float | None:
        """US dollars that may still be spent, 0 at least; None for any amount."""
        lost = self.lost if lost is None else lost
        if self.prices is None or self.limit is None:
            return None
        live = spent_live(completions, lost, self.recipe).cost_at_most(self.prices)
        batches = self.by_batches.cost_at_most(self.prices, BATCH_DISCOUNT)
        return max(self.limit - live - batches, 0.0)


def costs_of(options: Options, job: Job, known: Mapping[str, Any]) -> Costs:
    """What a completion file's tokens cost, and what batches have taken for it.

    Args:
        options: Prices and limits.
        job: The completions that are wanted.
        known: What the file says of itself.

    Raises:
        UsageError: as `prices_of`.
        ArtifactError: the ledger of its batches is torn.
    """
    ledger = ledger_path(job.id, options.saved_dir)
    return Costs(
        prices=prices_of(options) if options.teacher == "openai" else None,
        by_batches=spent_by(read_batches(ledger, job.metadata, job.identity)),
        recipe=job.recipe,
        limit=options.max_cost if isinstance(options, TeachConfig) else None,
        lost=known.get(LOST_TOKENS, {}),
    )


def spent_by(batches: Iterable[Batch]) -> Spent:
    """What batches have taken; what is not counted, or is under way, at its most."""
    spent = Spent()
    for batch in batches:
        if batch.counted is None:
            spent += Spent(uncounted=TokenUsage(**batch.at_most))
        else:
            spent += Spent(counted=TokenUsage(**batch.counted))
    return spent


def prices_of(options: Options) -> "Prices | None":
    """What the teacher's tokens cost: nothing here, and None where a server's prices are not known.

    Raises:
        UsageError: a limit is set for a cost that is not known.
    """
    from finetune_cot.teachers.prices import Prices, known_prices

    if options.teacher != "openai":
        return Prices(0.0, 0.0, cached=0.0)
    if not isinstance(options, TeachConfig):
        return known_prices(options.model_key, options.base_url)
    prices = known_prices(options.model_key, options.base_url, options.price_in, options.price_out)
    if prices is None and options.max_cost is not None:
        raise UsageError(
            f"what {options.model_key} costs is not known",
            where="--max-cost",
            remedy="give --price-in and --price-out",
        )
    return prices
