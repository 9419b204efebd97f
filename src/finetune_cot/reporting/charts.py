"""What figures show, apart from how they are drawn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A value with its error."""

    group: str
    """Heading under which bars stand together, such as a model."""
    label: str
    value: float
    error: float
    note: str
    """Text at the end of the line, such as the value in words."""
    kind: str
    """What the colour stands for."""


@dataclass(frozen=True)
class BarChart:
    """Bars from 0 to 100 percent, those of a group below each other."""

    name: str
    """Name of the figure's files, without the ending."""
    title: str
    x_label: str
    bars: tuple[Bar, ...]
    kinds: tuple[str, ...]
    """All kinds, in the order of their colours."""


@dataclass(frozen=True)
class Point:
    """A place on a line; the error is None where there is none."""

    x: float
    y: float
    error: float | None = None


@dataclass(frozen=True)
class Line:
    """Points joined by a line."""

    label: str
    points: tuple[Point, ...]
    colour: int
    """Number of the colour; lines may share one."""
    dashed: bool = False


@dataclass(frozen=True)
class LineChart:
    """Values against a number."""

    name: str
    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    percent: bool
    """Whether the values are percentages, shown on the whole scale from 0 to 100."""
    doubling: bool = False
    """Whether the numbers along the bottom double from one to the next."""
    log: bool = False
    """Whether the values are shown by their magnitude, on a logarithmic scale."""


@dataclass(frozen=True)
class Change:
    """A value before and after."""

    label: str
    first: float
    last: float


@dataclass(frozen=True)
class ChangeChart:
    """For each of many things, a value before and after."""

    name: str
    title: str
    x_label: str
    first_label: str
    last_label: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Cloud:
    """Points of one kind."""

    label: str
    """Empty where there is no other kind to be told from."""
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    colour: int
    """Number of the colour and of the marker."""


@dataclass(frozen=True)
class Panel:
    """Points on axes of their own."""

    title: str
    note: str
    """A second line under the title."""
    clouds: tuple[Cloud, ...]


@dataclass(frozen=True)
class ScatterChart:
    """Panels of points, with the line on which both values are equal."""

    name: str
    title: str
    x_label: str
    y_label: str
    panels: tuple[Panel, ...]
    identity: bool
    """Whether both axes are of the same kind, so that the line means something."""


@dataclass(frozen=True)
class ScoreRow:
    """Values of one thing; None where there is none."""

    label: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class ScoreChart:
    """Bars to both sides of 0, several for each thing."""

    name: str
    title: str
    x_label: str
    series: tuple[str, ...]
    """What each of a row's values is."""
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class HeatChart:
    """A value for each pair, by colour; both sides of 0 are told apart."""

    name: str
    title: str
    x_label: str
    y_label: str
    value_label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """Of each row and column; None where there is none."""


Chart = BarChart | LineChart | ChangeChart | ScatterChart | ScoreChart | HeatChart


def has_values(chart: Chart) -> bool:
    """Whether there is anything to draw."""
    if isinstance(chart, BarChart):
        return bool(chart.bars)
    if isinstance(chart, LineChart):
        return any(line.points for line in chart.lines)
    if isinstance(chart, ChangeChart):
        return bool(chart.changes)
    if isinstance(chart, ScatterChart):
        return any(cloud.xs for panel in chart.panels for cloud in panel.clouds)
    rows = chart.values if isinstance(chart, HeatChart) else [row.values for row in chart.rows]
    return any(value is not None for row in rows for value in row)
