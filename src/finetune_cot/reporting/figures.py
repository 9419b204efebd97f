"""Draws charts with matplotlib, without its global state."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cot.errors import UsageError
from finetune_cot.reporting.charts import (
    Bar,
    BarChart,
    ChangeChart,
    Chart,
    HeatChart,
    Line,
    LineChart,
    Panel,
    ScatterChart,
    ScoreChart,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
"""Okabe and Ito's palette, which colour-blind readers can tell apart, with a grey for its yellow."""
BAR_COLOURS = ("#B3B3B3", "#56B4E9", "#0072B2", "#E69F00", "#D55E00")
"""Of the kinds of methods: base models in grey and blue, students in orange and red."""
MARKERS = "osD^vP*X"
MAX_LABEL, MAX_TITLE = 56, 80
"""Characters of a label and of a title; longer ones lose their middle."""
MAX_PANEL_TITLE = 26
PANELS_ACROSS = 4

_WIDTH = 9.0  # inches
_TEXT = 9  # points
_GREY = "#595959"


def require_matplotlib() -> None:
    """Do nothing where figures can be drawn.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "figures need matplotlib, which is not installed",
            where="--figure-format",
            remedy="run `pip install 'finetune-cot[report]'`, or give --figure-format none",
        ) from None


def save_figures(
    charts: Iterable[Chart], folder: Path, formats: Sequence[str], on_figure: Callable[[int], None]
) -> list[str]:
    """Draw charts into files of a folder; equal charts give equal files.

    Args:
        charts: What is drawn.
        folder: An existing folder.
        formats: ``png``, ``svg`` or both.
        on_figure: Called after each chart with how many are done.

    Returns:
        Names of the files.
    """
    from matplotlib import rc_context

    names = []
    with rc_context({"svg.hashsalt": "finetune-cot", "font.family": "DejaVu Sans"}):
        for done, chart in enumerate(charts, start=1):
            figure = draw(chart)
            for form in formats:
                name = f"{chart.name}.{form}"
                metadata = {"Date": None} if form == "svg" else None
                figure.savefig(folder / name, dpi=160, metadata=metadata)
                names.append(name)
                figure.set_layout_engine("none")  # what was laid out for one form fits the other
            on_figure(done)
    return names


def draw(chart: Chart) -> "Figure":
    """A figure of a chart."""
    if isinstance(chart, BarChart):
        return _draw_bars(chart)
    if isinstance(chart, LineChart):
        return _draw_lines(chart)
    if isinstance(chart, ScatterChart):
        return _draw_scatter(chart)
    if isinstance(chart, HeatChart):
        return _draw_heat(chart)
    return _draw_scores(chart) if isinstance(chart, ScoreChart) else _draw_changes(chart)


def _draw_bars(chart: BarChart) -> "Figure":
    lines = _bar_lines(chart.bars)
    figure, axes = _figure(0.9 + 0.3 * len(lines), chart.title)
    for place, line in enumerate(lines):
        if isinstance(line, Bar):
            colour = _bar_colour(chart, line)
            axes.barh(place, line.value, height=0.72, color=colour, zorder=2)
            axes.errorbar(line.value, place, xerr=_within(line), color="black", capsize=3, lw=1, zorder=3)
            axes.text(102, place, line.note, va="center", fontsize=_TEXT, parse_math=False)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    _name_lines(axes, [line if isinstance(line, str) else line.label for line in lines])
    for label, line in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if isinstance(line, str) else "normal")
    axes.set_xlabel(chart.x_label, fontsize=_TEXT)
    axes.grid(axis="x", color="#E6E6E6", zorder=0)
    return figure


def _bar_lines(bars: Sequence[Bar]) -> list[Bar | str]:
    """The bars, each group with its heading before it."""
    lines: list[Bar | str] = []
    for number, bar in enumerate(bars):
        if number == 0 or bars[number - 1].group != bar.group:
            lines.append(bar.group)
        lines.append(bar)
    return lines


def _bar_colour(chart: BarChart, bar: Bar) -> str:
    return BAR_COLOURS[chart.kinds.index(bar.kind) % len(BAR_COLOURS)] if bar.kind in chart.kinds else _GREY


def _within(bar: Bar) -> list[list[float]]:
    """Lengths of the error bar to both sides, cut at 0 and 100 percent."""
    return [[min(bar.error, bar.value)], [min(bar.error, 100 - bar.value)]]


def _draw_lines(chart: LineChart) -> "Figure":
    figure, axes = _figure(max(3.6, 1.2 + 0.22 * len(chart.lines)), chart.title)
    handles = [_draw_line(axes, line) for line in chart.lines]
    numbers = sorted({point.x for line in chart.lines for point in line.points})
    if chart.doubling and numbers[0] > 0 and numbers[-1] >= 8 * numbers[0]:
        axes.set_xscale("log", base=2)
    _mark_numbers(axes, numbers)
    axes.set_xlabel(chart.x_label, fontsize=_TEXT)
    axes.set_ylabel(chart.y_label, fontsize=_TEXT)
    if chart.percent:
        axes.set_ylim(0, 100)
    if chart.log and all(point.y > 0 for line in chart.lines for point in line.points):
        _scale_by_magnitude(axes)
    axes.grid(color="#E6E6E6", zorder=0)
    _add_legend(axes, handles, [line.label for line in chart.lines])
    return figure


def _draw_line(axes: "Axes", line: Line) -> "ErrorbarContainer":
    errors = [point.error or 0.0 for point in line.points]
    known = any(point.error is not None for point in line.points)
    return axes.errorbar(
        [point.x for point in line.points],
        [point.y for point in line.points],
        yerr=[[_cut(p.y, p.error) for p in line.points], errors] if known else None,
        color=COLOURS[line.colour % len(COLOURS)],
        linestyle="--" if line.dashed else "-",
        marker=MARKERS[line.colour // len(COLOURS) % len(MARKERS)],
        markerfacecolor="white" if line.dashed else None,
        markersize=5,
        linewidth=1.5,
        capsize=3,
        zorder=3,
    )


def _cut(value: float, error: float | None) -> float:
    return min(error or 0.0, value)


def _scale_by_magnitude(axes: "Axes") -> None:
    """A logarithmic scale, marked with plain numbers rather than powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = (1.0,) if high > 1000 * low else (1.0, 2.0, 5.0)
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _mark_numbers(axes: "Axes", numbers: Sequence[float]) -> None:
    """Mark the very numbers that were measured, where there is room for them, and whole numbers otherwise."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    if len(numbers) <= 8 and (axes.get_xscale() == "log" or _are_even(numbers)):
        axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
    elif axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _are_even(numbers: Sequence[float]) -> bool:
    """Whether neighbours are far enough apart for their labels."""
    steps = [right - left for left, right in pairwise(numbers)]
    return not steps or min(steps) * 12 >= numbers[-1] - numbers[0]


def _draw_changes(chart: ChangeChart) -> "Figure":
    figure, axes = _figure(1.2 + 0.22 * len(chart.changes), chart.title)
    places = range(len(chart.changes))
    first, last = [item.first for item in chart.changes], [item.last for item in chart.changes]
    axes.hlines(places, first, last, color="#B3B3B3", linewidth=1.5, zorder=1)
    before = axes.scatter(first, places, s=28, facecolor="white", edgecolor=COLOURS[0], zorder=2)
    after = axes.scatter(last, places, s=28, color=COLOURS[1], zorder=3)
    axes.set_ylim(len(chart.changes) - 0.4, -0.6)
    _name_lines(axes, [item.label for item in chart.changes])
    axes.set_xlabel(chart.x_label, fontsize=_TEXT)
    axes.grid(axis="x", color="#E6E6E6", zorder=0)
    _add_legend(axes, [before, after], [chart.first_label, chart.last_label])
    return figure


def _draw_scatter(chart: ScatterChart) -> "Figure":
    from matplotlib.figure import Figure

    across = min(len(chart.panels), PANELS_ACROSS)
    down = -(-len(chart.panels) // across)
    side = _WIDTH / across if across > 1 else 0.6 * _WIDTH
    figure = Figure(figsize=(side * across, 1.1 + side * down), layout="constrained")
    _name_figure(figure, chart.title)
    for number, panel in enumerate(chart.panels, start=1):
        _draw_panel(figure.add_subplot(down, across, number), panel, chart.identity)
    # the legend stands to the right of it
    figure.supxlabel(_short(chart.x_label), x=0.06, ha="left", fontsize=_TEXT, parse_math=False)
    figure.supylabel(chart.y_label, fontsize=_TEXT, parse_math=False)
    clouds = {cloud.label: cloud.colour for panel in chart.panels for cloud in panel.clouds if cloud.label}
    if clouds:
        handles = [_cloud_handle(label, colour) for label, colour in clouds.items()]
        figure.legend(
            handles=handles, loc="outside lower right", ncols=len(handles), frameon=False, fontsize=_TEXT
        )
    return figure


def _draw_panel(axes: "Axes", panel: Panel, identity: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    for cloud in panel.clouds:
        axes.scatter(
            cloud.xs,
            cloud.ys,
            s=14,
            color=COLOURS[cloud.colour],
            marker=MARKERS[cloud.colour],
            alpha=0.75,
            linewidths=0,
            zorder=3,
        )
    both = [value for cloud in panel.clouds for value in (*cloud.xs, *cloud.ys)]
    if identity and both:
        margin = 0.05 * (max(both) - min(both)) or 0.1
        limits = min(both) - margin, max(both) + margin
        axes.plot(limits, limits, color=_GREY, linewidth=1, linestyle="--", zorder=2)
        axes.set_xlim(limits)
        axes.set_ylim(limits)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=4))
    title = f"{_short(panel.title, MAX_PANEL_TITLE)}\n{panel.note}"
    axes.set_title(title, fontsize=_TEXT, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_TEXT - 1, color=_GREY)
    axes.grid(color="#E6E6E6", zorder=0)
    axes.set_axisbelow(True)


def _cloud_handle(label: str, colour: int) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker=MARKERS[colour], color=COLOURS[colour], label=label)


def _draw_scores(chart: ScoreChart) -> "Figure":
    from matplotlib.patches import Patch

    each = len(chart.series)
    figure, axes = _figure(1.2 + (0.12 + 0.13 * each) * len(chart.rows), "")
    _name_figure(figure, chart.title)  # from the figure's edge, since the bars' names may be long
    thickness = 0.8 / each
    for place, row in enumerate(chart.rows):
        for number, value in enumerate(row.values):
            if value is not None:
                offset = (number - (each - 1) / 2) * thickness
                axes.barh(place + offset, value, height=thickness, color=COLOURS[number], zorder=2)
    axes.axvline(0, color=_GREY, linewidth=0.8, zorder=3)
    axes.set_ylim(len(chart.rows) - 0.4, -0.6)
    _name_lines(axes, [row.label for row in chart.rows])
    axes.set_xlabel(chart.x_label, fontsize=_TEXT)
    axes.grid(axis="x", color="#E6E6E6", zorder=0)
    _add_legend(axes, [Patch(color=COLOURS[number]) for number in range(each)], chart.series)
    return figure


def _draw_heat(chart: HeatChart) -> "Figure":
    figure, axes = _figure(2.2 + 0.24 * len(chart.rows), "")
    _name_figure(figure, chart.title)
    values = [[float("nan") if value is None else value for value in row] for row in chart.values]
    limit = max((abs(value) for row in chart.values for value in row if value is not None), default=0) or 1
    image = axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes.set_xticks(range(len(chart.columns)), [_short(name, 24) for name in chart.columns], rotation=90)
    axes.set_yticks(range(len(chart.rows)), [_short(name, 24) for name in chart.rows])
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
    axes.set_xlabel(chart.x_label, fontsize=_TEXT)
    axes.set_ylabel(chart.y_label, fontsize=_TEXT)
    figure.colorbar(image, ax=axes).set_label(chart.value_label, fontsize=_TEXT - 1)
    return figure


def _figure(height: float, title: str) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(_short(title, MAX_TITLE), loc="left", fontsize=11, fontweight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=_TEXT, color=_GREY)
    axes.set_axisbelow(True)
    return figure, axes


def _name_figure(figure: "Figure", title: str) -> None:
    shown = _short(title, MAX_TITLE)
    figure.suptitle(shown, x=0.01, ha="left", fontsize=11, fontweight="bold", parse_math=False)


def _name_lines(axes: "Axes", labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels], parse_math=False)
    axes.tick_params(axis="y", length=0)


def _add_legend(axes: "Axes", handles: Sequence[Any], labels: Sequence[str]) -> None:
    legend = axes.legend(
        handles,
        [_short(label) for label in labels],
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        frameon=False,
        fontsize=_TEXT,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _short(label: str, longest: int = MAX_LABEL) -> str:
    half = longest // 2
    return label if len(label) <= longest else f"{label[: half - 1]}…{label[-half:]}"
