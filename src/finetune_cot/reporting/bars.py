"""Bar charts of accuracy: base models beside their students, on each data set."""

from collections.abc import Mapping, Sequence

from finetune_cot.reporting.charts import Bar, BarChart
from finetune_cot.reporting.model_names import family, millions
from finetune_cot.reporting.naming import METHODS, Naming
from finetune_cot.reporting.runs import Entry

KINDS = ("zero-shot", "zero-shot-CoT", "few-shot-CoT", "fine-tune", "fine-tune-CoT")
"""Kinds of methods, which share a colour."""
MAX_JOINED = 24
"""Accuracies that one chart of all data sets holds at most."""


def bar_charts(rows: Sequence[Entry]) -> list[BarChart]:
    """One chart of a single model with few accuracies, else one for each data set, by its key."""
    datasets: dict[str, list[Entry]] = {}
    for entry in sorted(rows, key=lambda entry: entry.dataset):
        datasets.setdefault(entry.dataset, []).append(entry)
    models = {entry.naming.model for entry in rows}
    if len(datasets) > 1 and len(models) == 1 and len(rows) <= MAX_JOINED:
        return [_joined_chart(models.pop(), datasets)]
    return [_dataset_chart(dataset, group) for dataset, group in datasets.items()]


def family_charts(rows: Sequence[Entry]) -> list[BarChart]:
    """A chart for each platform and family of models, by their size; none where there is one family alone."""
    families: dict[tuple[str, str], list[Entry]] = {}
    for entry in rows:
        of = entry.runs[0].platform or "", family(entry.naming.model)
        families.setdefault(of, []).append(entry)
    if len(families) < 2:
        return []
    return [
        _family_chart(", ".join(filter(None, (name, platform))), group)
        for (platform, name), group in sorted(families.items(), key=lambda item: item[0])
    ]


def _family_chart(name: str, rows: Sequence[Entry]) -> BarChart:
    ordered = sorted(rows, key=lambda entry: (entry.dataset, millions(entry.naming.model) or 0))
    groups = (f"{entry.dataset}: {entry.naming.model}" for entry in ordered)
    bars = tuple(
        _bar(entry, group, _label(entry, rows)) for entry, group in zip(ordered, groups, strict=True)
    )
    file = f"accuracy_of_family_{name.replace(', ', '_')}"
    return BarChart(file, f"Accuracy: {name}", _x_label(rows), bars, KINDS)


def _joined_chart(model: str, datasets: Mapping[str, Sequence[Entry]]) -> BarChart:
    """One model on all data sets, below each other."""
    rows = [entry for group in datasets.values() for entry in group]
    bars = tuple(_bar(entry, entry.dataset, _label(entry, datasets[entry.dataset])) for entry in rows)
    return BarChart("accuracy", f"Accuracy: {model}", _x_label(rows), bars, KINDS)


def _dataset_chart(dataset: str, rows: Sequence[Entry]) -> BarChart:
    bars = tuple(_bar(entry, entry.naming.model, _label(entry, rows)) for entry in rows)
    return BarChart(f"accuracy_{dataset}", f"Accuracy: {dataset}", _x_label(rows), bars, KINDS)


def _bar(entry: Entry, group: str, label: str) -> Bar:
    runs = f", {len(entry.runs)} runs" if len(entry.runs) > 1 else ""
    value, error = 100 * entry.accuracy, 100 * entry.error
    part = "" if entry.is_of_asked_part else ", all"
    # a figure space is as wide as a digit, so that the numbers stand below each other
    number = f"{value:4.1f}".replace(" ", "\u2007")
    note = f"{number} ± {error:.1f}   n = {entry.n}{runs}{part}"
    return Bar(group, label, value, error, note, kind(entry.naming))


def _label(entry: Entry, beside: Sequence[Entry]) -> str:
    """The method, and the training where the method alone does not tell students apart."""
    name = entry.naming
    same = [
        item
        for item in beside
        if (item.dataset, item.naming.model, item.naming.method) == (entry.dataset, name.model, name.method)
    ]
    return f"{name.method} [{name.training}]" if len(same) > 1 else name.method


def kind(name: Naming) -> str:
    """The kind of a method, which its colour stands for."""
    return METHODS.get(name.template, name.template).partition(" (")[0]


def _x_label(group: Sequence[Entry]) -> str:
    asked = [entry.runs[0].part for entry in group if entry.is_of_asked_part]
    part = asked[0] if asked else "all"
    of_part = "all completions" if part == "all" else f"{part} part"
    several = any(len(entry.runs) > 1 for entry in group)
    spread = "; of several runs, the standard deviation" if several else ""
    return f"Accuracy (%), {of_part}; bars: one standard error{spread}"
