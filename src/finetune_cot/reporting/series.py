"""Students that differ in one number only, such as the rationales of a question, in order of that number."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from finetune_cot.reporting.charts import Line, LineChart, Point
from finetune_cot.reporting.contrasts import Origin, origin_of
from finetune_cot.reporting.model_names import family, millions
from finetune_cot.reporting.runs import Entry


@dataclass(frozen=True)
class Series:
    """Students on one data set, and the number in which they differ."""

    dataset: str
    label: tuple[str, ...]
    """What they have in common: model, method, training."""
    points: tuple[tuple[int, Entry], ...]
    """The number of each, ascending."""


def by_rationales(rows: Iterable[Entry]) -> list[Series]:
    """Students by the rationales of a question that they learned from; every student that has any."""
    groups: dict[tuple[str, ...], list[tuple[int, Entry]]] = {}
    for entry in rows:
        number = entry.naming.rationales
        if number is not None:
            # Names such as ft_cot_t70_8aug hold the number itself, in which the students of a series differ.
            training = re.sub(rf"(?<!\d){number}(?!\d)", "k", entry.naming.training)
            label = entry.dataset, entry.naming.model, entry.naming.template, training
            groups.setdefault(label, []).append((number, entry))
    return _series(groups)


def by_training_samples(rows: Iterable[Entry], known: Mapping[str, Origin]) -> list[Series]:
    """Students by the size of their training data, where there are several sizes from one origin.

    Args:
        rows: Measured models.
        known: Origins of training data.
    """
    groups: dict[tuple[str, ...], list[tuple[int, Entry]]] = {}
    for entry in rows:
        student = entry.runs[0].student
        if student is not None:
            rationales = "" if entry.naming.rationales is None else f"k = {entry.naming.rationales}"
            origin = origin_of(entry, known)
            label = (
                *(entry.dataset, entry.naming.model, entry.naming.template, student.method, rationales),
                *(student.teacher or "", origin.kept, origin.split_key or ""),
            )
            groups.setdefault(label, []).append((student.training_samples, entry))
    return [series for series in _series(groups) if _differ(series)]


def by_model_size(rows: Iterable[Entry]) -> list[Series]:
    """Models of a family by their millions of parameters; every model whose size is known."""
    groups: dict[tuple[str, ...], list[tuple[int, Entry]]] = {}
    for entry in rows:
        size = millions(entry.naming.model)
        if size is not None:
            label = entry.dataset, family(entry.naming.model), entry.naming.method, entry.naming.training
            groups.setdefault(label, []).append((size, entry))
    return _series(groups)


def by_teacher_size(rows: Iterable[Entry]) -> list[Series]:
    """Students by the millions of parameters of their teachers, where there are several teachers."""
    groups: dict[tuple[str, ...], list[tuple[int, Entry]]] = {}
    for entry in rows:
        student = entry.runs[0].student
        size = millions(student.teacher) if student and student.teacher else None
        if size is not None:
            label = entry.dataset, entry.naming.model, entry.naming.method
            groups.setdefault(label, []).append((size, entry))
    return [series for series in _series(groups) if _differ(series)]


def line_charts(
    name: str,
    title: str,
    x_label: str,
    every: Iterable[Series],
    beside: Mapping[str, Sequence[Line]] = MappingProxyType({}),
) -> list[LineChart]:
    """A chart for each data set that has a series of several numbers, or lines to stand beside it.

    Args:
        name: Beginning of the charts' names.
        title: Beginning of their titles.
        x_label: What the numbers are.
        every: What was measured.
        beside: Further lines by data set.
    """
    charts: dict[str, list[Series]] = {}
    for series in every:
        if _differ(series) or series.dataset in beside:
            charts.setdefault(series.dataset, []).append(series)
    return [
        LineChart(
            name=f"{name}_{dataset}",
            title=f"{title}: {dataset}",
            x_label=f"{x_label}\n{_note(group)}",
            y_label="Accuracy (%)",
            lines=tuple(
                Line(label, tuple(_point(*point) for point in series.points), colour)
                for colour, (label, series) in enumerate(zip(_labels(group), group, strict=True))
            )
            + tuple(beside.get(dataset, ())),
            percent=True,
            doubling=True,
        )
        for dataset, group in charts.items()
    ]


def _series(groups: dict[tuple[str, ...], list[tuple[int, Entry]]]) -> list[Series]:
    return [
        Series(label[0], label[1:], tuple(sorted(points, key=lambda point: point[0])))
        for label, points in sorted(groups.items(), key=lambda group: group[0])
    ]


def _differ(series: Series) -> bool:
    return len({number for number, _ in series.points}) > 1


def _labels(group: Sequence[Series]) -> list[str]:
    """The parts of the labels in which the series differ, and always the model."""
    positions = range(len(group[0].label))
    differing = [place for place in positions if len({series.label[place] for series in group}) > 1]
    shown = [place for place in positions if place == 0 or place in differing]
    return [", ".join(series.label[place] for place in shown if series.label[place]) for series in group]


def _point(number: int, entry: Entry) -> Point:
    return Point(number, 100 * entry.accuracy, 100 * entry.error)


def _note(group: Sequence[Series]) -> str:
    entries = [entry for series in group for _, entry in series.points]
    sizes = sorted({entry.n for entry in entries})
    size = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    several = any(len(entry.runs) > 1 for entry in entries)
    spread = "; of several runs, the standard deviation" if several else ""
    return f"{size}; bars: one standard error{spread}"
