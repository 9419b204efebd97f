"""Completions that people may read: a draw of them, evenly spread, and never longer than can be read."""

from collections.abc import Sequence
from typing import TypeVar

from finetune_cot.artifacts.completions import Completion
from finetune_cot.evaluation.checkers import Verdict
from finetune_cot.reporting.findings import Measurement, Shown

MAX_SHOWN = 2000
"""Completions of a file that are kept, and of a whole page."""
MAX_CHARACTERS = 2000
"""Of each of a completion's texts; longer ones lose their middle."""

Item = TypeVar("Item")


def shown(completion: Completion, verdict: Verdict) -> Shown:
    """A completion as people read it."""
    return Shown(
        sample_index=completion.sample_index,
        completion_index=completion.completion_index,
        question=shortened(completion.question),
        rationale=shortened(completion.reasoning_completion or ""),
        completion=shortened(completion.completion),
        answer=shortened(completion.answer),
        verdict=verdict,
    )


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, evenly spread and in their order."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]


def drawn(
    measurements: Sequence[Measurement], most: int = MAX_SHOWN
) -> list[tuple[Measurement, list[Shown]]]:
    """Completions of every file, at most so many in all; files with few give all of theirs.

    Args:
        measurements: Files with the completions that were kept of them.
        most: Completions in all.
    """
    sizes = [len(item.shown) for item in measurements]
    return [
        (item, evenly(item.shown, quota))
        for item, quota in zip(measurements, _quotas(sizes, most), strict=True)
        if quota
    ]


def shortened(text: str, most: int = MAX_CHARACTERS) -> str:
    """A text without its middle where it is too long, saying how much is missing."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def _quotas(sizes: Sequence[int], most: int) -> list[int]:
    """Equal shares; what small files do not use goes to the others."""
    quotas = dict.fromkeys(range(len(sizes)), 0)
    left = most
    for done, place in enumerate(sorted(quotas, key=lambda place: sizes[place])):
        quotas[place] = min(sizes[place], left // (len(sizes) - done))
        left -= quotas[place]
    return list(quotas.values())
