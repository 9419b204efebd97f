"""Accuracies that papers tell, beside those measured here on the same data set by the same method."""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_cot.reporting.runs import Entry
from finetune_cot.reporting.tables import Table, percent, table

KOJIMA = "Kojima et al. 2022, Zero-shot-CoT"


@dataclass(frozen=True)
class Published:
    """An accuracy in a paper."""

    model: str
    template: str
    dataset: str
    right: int
    n: int
    """Samples; all of the data set."""
    source: str


PUBLISHED = (
    Published("text-davinci-002", "zs_cot", "multiarith", 472, 600, KOJIMA),
    Published("text-davinci-002", "zs_cot", "addsub", 275, 395, KOJIMA),
    Published("text-davinci-002", "zs_cot", "coin_flip", 457, 500, KOJIMA),
    Published("text-davinci-002", "zs_cot", "date_understanding", 249, 369, KOJIMA),
)
"""Counts of the published logs, which state these accuracies; addsub was compared as text there."""


def published_table(rows: Sequence[Entry]) -> Table:
    """Measured accuracies with the published ones; those without a published one are left out."""
    known = {(item.model, item.template, item.dataset): item for item in PUBLISHED}
    pairs = (
        (entry, known.get((entry.naming.model, entry.naming.template, entry.dataset)))
        for entry in rows
        if not entry.naming.is_student and not entry.runs[0].temperature
    )
    return table(
        "published",
        ["model", "method", "dataset", "part", "n", "accuracy", "published", "published_n", "source"],
        (
            [
                *(entry.naming.model, entry.naming.method, entry.dataset, entry.runs[0].part, entry.n),
                *(
                    percent(entry.accuracy, entry.error),
                    percent(paper.right / paper.n),
                    paper.n,
                    paper.source,
                ),
            ]
            for entry, paper in pairs
            if paper is not None
        ),
        headings=["model", "method", "data set", "part", "n", "here, %", "published, %", "n", "source"],
        notes=["Published accuracies are of all samples of the data set; --split all measures on those too."],
    )
