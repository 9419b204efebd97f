"""What a report found, in a few sentences, each with the numbers that it rests on."""

from collections.abc import Iterator, Sequence
from math import hypot

from finetune_cot.reporting.agreement import ALL, Agreements
from finetune_cot.reporting.runs import Entry

MAX_DATASETS = 6
"""Data sets that are told of."""


def highlights(rows: Sequence[Entry], compared: Sequence[Agreements]) -> list[str]:
    """Students beside their base models, and estimates beside the truth."""
    return [*_gains(rows), *(_estimate(found) for found in compared)]


def _gains(rows: Sequence[Entry]) -> Iterator[str]:
    """The best student of each data set beside the best method of its base model, on the same questions."""
    for dataset in sorted({entry.dataset for entry in rows})[:MAX_DATASETS]:
        here = [entry for entry in rows if entry.dataset == dataset]
        students = [entry for entry in here if entry.naming.is_student]
        if not students:
            best = max(here, key=lambda entry: entry.accuracy)
            yield f"{dataset}: {best.naming.model} by {best.naming.method} is right in {_told(best)}."
            continue
        student = max(students, key=lambda entry: entry.accuracy)
        bases = [
            entry
            for entry in here
            if not entry.naming.is_student
            and entry.naming.model == student.naming.model
            and entry.answered == student.answered
        ]
        told = f"{dataset}: {student.naming.model} after fine-tuning is right in {_told(student)}"
        if not bases:
            yield f"{told}; its base model was not measured on the same questions."
            continue
        base = max(bases, key=lambda entry: entry.accuracy)
        error, gain = hypot(base.error, student.error), student.accuracy - base.accuracy
        certain = f", a difference of {gain / error:+.1f} standard errors" if error else ""
        yield f"{told}; before, by {base.naming.method}, in {_told(base)}{certain}."


def _told(entry: Entry) -> str:
    return f"{100 * entry.accuracy:.1f} % ± {100 * entry.error:.1f} (n = {entry.n})"


def _estimate(found: Agreements) -> str:
    of = found.main.by_stratum[ALL]
    order = "nothing" if of.spearman is None else f"{of.spearman:.2f}"
    interval = "" if of.interval is None else f" [{of.interval[0]:.2f}, {of.interval[1]:.2f}]"
    speedup = found.comparison.costs.speedup
    faster = "" if speedup is None else f", {speedup:.1f} times faster than fine-tuning on 100 subsets"
    noise = found.noise_floor
    itself = None if noise is None else noise.scored.by_stratum[ALL].spearman
    floor = "" if itself is None else f"; the truth with another seed agrees with itself by {itself:.2f}"
    return (
        f"{found.comparison.name}: {found.main.name} orders the subsets as true fine-tuning does,"
        f" by Spearman's correlation {order}{interval} (1 is the same order, 0 none;"
        f" n = {len(found.comparison.truth)} subsets){faster}{floor}."
    )
