"""Bar charts of accuracy, a chart for each data set: base models beside their students."""

from collections.abc import Iterable, Iterator, Sequence

from finetune_cot.reporting.charts import Bar, BarChart
from finetune_cot.reporting.naming import METHODS, Naming
from finetune_cot.reporting.runs import Entry

KINDS = ("zero-shot", "zero-shot-CoT", "few-shot-CoT", "fine-tune", "fine-tune-CoT")
"""Kinds of methods, which share a colour."""


def bar_charts(rows: Iterable[Entry]) -> Iterator[BarChart]:
    """A chart for each data set, sorted by its key."""
    datasets: dict[str, list[Entry]] = {}
    for entry in rows:
        datasets.setdefault(entry.dataset, []).append(entry)
    for dataset, group in sorted(datasets.items()):
        yield BarChart(
            name=f"accuracy_{dataset}",
            title=f"Accuracy: {dataset}",
            x_label=_x_label(group),
            bars=tuple(_bar(entry, _trainings(group, entry)) for entry in group),
            kinds=KINDS,
        )


def _bar(entry: Entry, trainings: int) -> Bar:
    name = entry.naming
    runs = f", {len(entry.runs)} runs" if len(entry.runs) > 1 else ""
    return Bar(
        group=name.model,
        label=f"{name.method} [{name.training}]" if trainings > 1 else name.method,
        value=100 * entry.accuracy,
        error=100 * entry.error,
        note=f"{100 * entry.accuracy:.1f} ± {100 * entry.error:.1f}   n = {entry.n}{runs}",
        kind=_kind(name),
    )


def _trainings(group: Sequence[Entry], entry: Entry) -> int:
    """Students of the data set that the method alone does not tell apart."""
    name = entry.naming
    return sum((other.naming.model, other.naming.method) == (name.model, name.method) for other in group)


def _kind(name: Naming) -> str:
    return METHODS.get(name.template, name.template).partition(" (")[0]


def _x_label(group: Sequence[Entry]) -> str:
    part = group[0].runs[0].part
    of_part = "all completions" if part == "all" else f"{part} part"
    several = any(len(entry.runs) > 1 for entry in group)
    spread = "; of several runs, the standard deviation" if several else ""
    return f"Accuracy (%), {of_part}; bars: one standard error{spread}"
