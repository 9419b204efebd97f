"""Command lines as people write them: ``--devices 0 1 2`` beside repetition and commas."""

from collections.abc import Sequence

LIST_OPTIONS = frozenset(
    {
        *(
            "--devices",
            "--task-idxes",
            "--lora-targets",
            "--train-layers",
            "--logger",
            "--platform",
            "--figure-format",
            "--points",
            "--estimator",
        ),
    }
)
"""Options that take several words; a test holds them against the configs."""


def spread_lists(arguments: Sequence[str]) -> list[str]:
    """Repeat the name of a list option before each of the words that follow it.

    ``--devices 0 1 2`` becomes ``--devices 0 --devices 1 --devices 2``.
    """
    spread: list[str] = []
    current = ""
    for word in arguments:
        if word.startswith("--"):
            current = word if word in LIST_OPTIONS else ""
        elif current and spread[-1] != current:
            spread.append(current)
        spread.append(word)
    return spread
