"""Students that differ in how their training data were chosen: by which split, and whether filtered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from finetune_cot.reporting.bars import KINDS, kind
from finetune_cot.reporting.charts import Bar, BarChart
from finetune_cot.reporting.findings import Made
from finetune_cot.reporting.naming import Naming
from finetune_cot.reporting.runs import Entry
from finetune_cot.reporting.tables import Table, percent, table

RIGHT_ONES, ALL_ONES = "right ones", "all"
"""Rationales that were kept."""


@dataclass(frozen=True)
class Origin:
    """How training data were chosen; None where nothing tells."""

    split_key: str | None = None
    only_correct: bool | None = None

    @property
    def kept(self) -> str:
        """Which rationales were kept."""
        return "" if self.only_correct is None else RIGHT_ONES if self.only_correct else ALL_ONES


@dataclass(frozen=True)
class Side:
    """An accuracy that stands against another."""

    name: Naming
    dataset: str
    teacher: str
    which: str
    """That in which the sides differ."""
    samples: int | None
    """Training samples; None of a base model."""
    n: int
    accuracy: float
    error: float
    """Standard error of a single run; standard deviation of several."""


def origins(made: Iterable[Made]) -> dict[str, Origin]:
    """Origins by the key of training data, and by the checkpoint of what was trained on a data set itself."""
    found: dict[str, Origin] = {}
    for item in made:
        config = item.manifest.config
        split = config.get("split_key")
        split_key = split if isinstance(split, str) else None
        if item.manifest.command == "build-finetune-data":
            key = Path(item.path).stem.removeprefix("F_")
            found[key] = Origin(split_key, bool(config.get("only_correct", True)))
        elif item.manifest.command == "train":
            found[item.path] = Origin(split_key)
    return found


def origin_of(entry: Entry, known: Mapping[str, Origin]) -> Origin:
    """Where a student's training data come from."""
    student = entry.runs[0].student
    places = [entry.runs[0].id.finetune_key, *(student.checkpoints.values() if student else ())]
    return next((known[place] for place in places if place in known), Origin())


def by_split(rows: Iterable[Entry], known: Mapping[str, Origin]) -> list[Side]:
    """Base models on every test part that they answered whole, students on that of the split they learned."""
    sides = []
    for entry in rows:
        origin = origin_of(entry, known)
        for first in entry.runs[0].by_split:
            split = first.split
            if split == origin.split_key if entry.naming.is_student else first.is_whole:
                scores = [score for run in entry.runs for score in run.by_split if score.split == split]
                shares = [score.accuracy for score in scores]
                error = stdev(shares) if len(shares) > 1 else scores[0].stderr
                n = min(score.n for score in scores)
                sides.append((origin.kept, _side(entry, split, n, fmean(shares), error)))
    return _contrasting(sides)


def by_filter(rows: Iterable[Entry], known: Mapping[str, Origin]) -> list[Side]:
    """Students of right rationales alone, against students of all."""
    students = [(entry, origin_of(entry, known)) for entry in rows if entry.naming.is_student]
    return _contrasting(
        (origin.split_key or "", _side(entry, origin.kept, entry.n, entry.accuracy, entry.error))
        for entry, origin in students
        if origin.kept
    )


def contrast_table(name: str, column: str, sides: Iterable[Side]) -> Table:
    """Every side below its other."""
    return table(
        name,
        ["dataset", "model", "method", column, "training", "teacher", "samples", "n", "accuracy"],
        (
            [
                *(side.dataset, side.name.model, side.name.method, side.which, side.name.training),
                *(side.teacher, side.samples, side.n, percent(side.accuracy, side.error)),
            ]
            for side in sides
        ),
        headings=[
            *("data set", "model", "method", column, "training", "teacher", "samples", "n", "accuracy, %"),
        ],
        notes=["± is one standard error; of several runs, their standard deviation."],
    )


def contrast_chart(name: str, title: str, sides: Sequence[Side]) -> BarChart:
    """The sides as bars below each other, by data set and model."""
    bars = [
        Bar(
            group=f"{side.dataset}: {side.name.model}",
            label=f"{side.name.method}, {side.which}",
            value=100 * side.accuracy,
            error=100 * side.error,
            note=f"{100 * side.accuracy:.1f} ± {100 * side.error:.1f}   n = {side.n}",
            kind=kind(side.name),
        )
        for side in sides
    ]
    return BarChart(name, title, "Accuracy (%); bars: one standard error", tuple(bars), KINDS)


def _side(entry: Entry, which: str, n: int, accuracy: float, error: float) -> Side:
    student = entry.runs[0].student
    samples = None if student is None else student.training_samples
    teacher = "" if student is None else student.teacher or ""
    return Side(entry.naming, entry.dataset, teacher, which, samples, n, accuracy, error)


def _contrasting(sides: Iterable[tuple[str, Side]]) -> list[Side]:
    """Those that have another side, which differs in nothing else that is known.

    Args:
        sides: Each with the rest of its origin, in which it must not differ.
    """
    groups: dict[tuple[str, ...], list[Side]] = {}
    for rest, side in sides:
        key = side.name.model, side.name.method, side.dataset, side.teacher, rest
        groups.setdefault(key, []).append(side)
    return list(_sorted(group for group in groups.values() if len({side.which for side in group}) > 1))


def _sorted(groups: Iterable[list[Side]]) -> Iterator[Side]:
    for group in sorted(groups, key=lambda group: (group[0].dataset, group[0].name.order)):
        yield from sorted(group, key=lambda side: side.which)
