"""Charts as Vega-Lite, which a browser draws: hover tells values, axes of numbers can be moved and zoomed."""

from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any

from finetune_cot.reporting.charts import (
    Bar,
    BarChart,
    ChangeChart,
    Chart,
    HeatChart,
    LineChart,
    Panel,
    ScatterChart,
    ScoreChart,
)

COLOURS = ("#0072B2", "#D55E00", "#008F68", "#B8609A", "#A87000", "#2E86C1", "#7A6FD0", "#7F7F7F")
"""As in the figures, each with a contrast of at least 3 to 1 to white paper and to a dark page."""
BAR_COLOURS = ("#7F7F7F", "#2E86C1", "#0072B2", "#A87000", "#D55E00")
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
ROW = 17  # pixels
ZOOM = "zoom"
"""Name of the selection that moves and zooms; its signals are ``zoom_x`` and ``zoom_y``."""

_NARROW, _NOTE = "width < 480", 125  # pixels
_MAX_TICKS = 8
_AXIS_CHARACTERS, _PANEL_CHARACTERS = 44, 40
"""Of a line under an axis, as many as fit a narrow page."""
Spec = dict[str, Any]


def specs(chart: Chart) -> list[Spec]:
    """Vega-Lite specifications of a chart: one, or one for each panel."""
    if isinstance(chart, ScatterChart):
        return [_spec(_panel(chart, panel)) for panel in chart.panels]
    draw: dict[type, Callable[[Any], Any]] = {
        BarChart: _bars,
        LineChart: _lines,
        ChangeChart: _changes,
        ScoreChart: _scores,
        HeatChart: _heat,
    }
    return [_spec(draw[type(chart)](chart))]


def _spec(chart: Any) -> Spec:
    """The specification, in the colours of the text around it."""
    text = {"labelColor": "currentColor", "titleColor": "currentColor", "titleFontWeight": "normal"}
    made: Spec = (
        chart.properties(width="container")
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(
            **text, labelFontSize=12, titleFontSize=12, domainColor="currentColor", tickColor="currentColor"
        )
        .configure_legend(**text, labelFontSize=12, titleFontSize=12)
        .configure_title(color="currentColor", fontSize=13)
        .configure_text(color="currentColor", fontSize=12)
        .configure_rule(color="currentColor")
        .configure_view(stroke=None)
        .to_dict()
    )
    return made


def _bars(chart: BarChart) -> Any:
    import altair as alt

    texts, bars, place, group = [], [], 0, None
    for bar in chart.bars:
        if bar.group != group:
            texts.append({"place": place, "label": bar.group, "note": "", "strong": True})
            place, group = place + 1, bar.group
        texts.append({"place": place, "label": bar.label, "note": bar.note.strip(), "strong": False})
        bars.append({"place": place + 1, **_bar_values(bar)})
        place += 2
    y, scale = _places(place), alt.Scale(domain=[0, 100], range=_beside_notes())
    axis = alt.Axis(title=_wrapped(chart.x_label, _AXIS_CHARACTERS), titleAnchor="start")
    data = alt.Chart(alt.InlineData(values=bars))
    kinds = list(chart.kinds)
    colours = [BAR_COLOURS[number % len(BAR_COLOURS)] for number in range(len(kinds))]
    colour = alt.Color("kind:N", scale=alt.Scale(domain=kinds, range=colours), legend=None)
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("group", "label", "note")]
    marks = data.mark_bar(size=11).encode(
        y=y, x=alt.X("x:Q", axis=axis, scale=scale), color=colour, tooltip=tooltip
    )
    errors = data.mark_rule(strokeWidth=1.5).encode(y=y, x="low:Q", x2="high:Q")
    return alt.layer(marks.add_params(_zoom("x")), errors, *_texts(texts, place)).properties(
        height=ROW * place
    )


def _bar_values(bar: Bar) -> dict[str, Any]:
    low, high = max(0.0, bar.value - bar.error), min(100.0, bar.value + bar.error)
    names = {"group": bar.group, "label": bar.label, "note": bar.note.strip(), "kind": bar.kind}
    return {"x": bar.value, "low": low, "high": high, **names}


def _lines(chart: LineChart) -> Any:
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"line": line.label, "x": point.x, "y": point.y, "error": point.error}
        | {"low": max(0.0, point.y - (point.error or 0)), "high": point.y + (point.error or 0)}
        for line in chart.lines
        for point in line.points
    ]
    numbers = sorted({row["x"] for row in rows})
    doubling = chart.doubling and numbers[0] > 0 and numbers[-1] >= 8 * numbers[0]
    magnitude = chart.log and all(row["low"] > 0 for row in rows)
    x = alt.X(
        "x:Q",
        title=_wrapped(chart.x_label, _AXIS_CHARACTERS),
        scale=alt.Scale(type="log", base=2) if doubling else alt.Scale(zero=False),
        axis=alt.Axis(format=".6~g", **({"values": numbers} if len(numbers) <= _MAX_TICKS else {})),
    )
    scale = alt.Scale(domain=[0, 100]) if chart.percent else alt.Scale(zero=False)
    y = alt.Y("y:Q", title=chart.y_label, scale=alt.Scale(type="log") if magnitude else scale)
    labels = [line.label for line in chart.lines]
    colours = [COLOURS[line.colour % len(COLOURS)] for line in chart.lines]
    shapes = [SHAPES[number % len(SHAPES)] for number in range(len(chart.lines))]
    dashes = [[5, 4] if line.dashed else [1, 0] for line in chart.lines]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=x, color=alt.Color("line:N", scale=alt.Scale(domain=labels, range=colours), legend=_legend())
    )
    tooltip = [alt.Tooltip("line:N", title="line"), alt.Tooltip("x:Q"), alt.Tooltip("y:Q", format=".4~g")]
    if any(row["error"] is not None for row in rows):
        tooltip.append(alt.Tooltip("error:Q", title="±", format=".3~g"))
    dash = alt.StrokeDash("line:N", scale=alt.Scale(domain=labels, range=dashes), legend=_legend())
    shape = alt.Shape("line:N", scale=alt.Scale(domain=labels, range=shapes), legend=_legend())
    drawn = base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash)
    points = base.mark_point(filled=True, size=55, opacity=1).encode(y=y, shape=shape, tooltip=tooltip)
    errors = base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("low:Q", title=chart.y_label), y2="high:Q")
    return alt.layer(errors, drawn, points.add_params(_zoom("x", "y"))).properties(height=320)


def _changes(chart: ChangeChart) -> Any:
    import altair as alt

    texts, rows, points = [], [], []
    for number, change in enumerate(chart.changes):
        note = f"{change.first:.3g} to {change.last:.3g}"
        texts.append({"place": 2 * number, "label": change.label, "note": note, "strong": False})
        rows.append({"place": 2 * number + 1, "first": change.first, "last": change.last})
        for when, value in ((chart.first_label, change.first), (chart.last_label, change.last)):
            points.append({"place": 2 * number + 1, "label": change.label, "when": when, "x": value})
    count = 2 * len(chart.changes)
    y, colours = (
        _places(count),
        alt.Scale(domain=[chart.first_label, chart.last_label], range=list(COLOURS[:2])),
    )
    rules = alt.Chart(alt.InlineData(values=rows)).mark_rule(strokeOpacity=0.5)
    dots = alt.Chart(alt.InlineData(values=points)).mark_point(filled=True, size=70, opacity=1)
    marks = dots.encode(
        y=y,
        x=alt.X(
            "x:Q",
            axis=alt.Axis(title=_wrapped(chart.x_label, _AXIS_CHARACTERS), titleAnchor="start"),
            scale=alt.Scale(zero=False, range=_beside_notes()),
        ),
        color=alt.Color("when:N", scale=colours, legend=_legend()),
        shape=alt.Shape("when:N", scale=alt.Scale(range=list(SHAPES[:2])), legend=_legend()),
        tooltip=["label:N", "when:N", alt.Tooltip("x:Q", format=".4~g")],
    )
    layers = rules.encode(y=y, x="first:Q", x2="last:Q"), marks.add_params(_zoom("x"))
    return alt.layer(*layers, *_texts(texts, count)).properties(height=ROW * count)


def _scores(chart: ScoreChart) -> Any:
    import altair as alt

    texts, bars, place = [], [], 0
    for row in chart.rows:
        texts.append({"place": place, "label": row.label, "note": "", "strong": False})
        for number, value in enumerate(row.values, start=1):
            bars.append(
                {"place": place + number, "label": row.label, "series": chart.series[number - 1], "x": value}
            )
        place += 1 + len(row.values)
    y, names = _places(place), list(chart.series)
    colours = alt.Scale(domain=names, range=list(COLOURS[: len(names)]))
    marks = (
        alt.Chart(alt.InlineData(values=bars))
        .mark_bar(size=11)
        .encode(
            y=y,
            x=alt.X("x:Q", title=_wrapped(chart.x_label, _AXIS_CHARACTERS)),
            color=alt.Color("series:N", scale=colours, legend=_legend()),
            tooltip=["label:N", "series:N", alt.Tooltip("x:Q", format=".4~g")],
        )
    )
    return alt.layer(marks.add_params(_zoom("x")), *_texts(texts, place)).properties(height=ROW * place)


def _panel(chart: ScatterChart, panel: Panel) -> Any:
    import altair as alt

    rows: list[dict[str, Any]] = [
        {"kind": cloud.label, "x": x, "y": y}
        for cloud in panel.clouds
        for x, y in zip(cloud.xs, cloud.ys, strict=True)
    ]
    clouds = [cloud for cloud in panel.clouds if cloud.xs]
    names = [cloud.label for cloud in clouds]
    legend = _legend() if any(names) else None
    colours = alt.Scale(domain=names, range=[COLOURS[cloud.colour] for cloud in clouds])
    shapes = alt.Scale(domain=names, range=[SHAPES[cloud.colour] for cloud in clouds])
    points = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_point(filled=True, size=45, opacity=0.8)
        .encode(
            x=alt.X(
                "x:Q",
                title=_wrapped(chart.x_label, _PANEL_CHARACTERS),
                scale=alt.Scale(zero=False),
                axis=_few_ticks(),
            ),
            y=alt.Y("y:Q", title=chart.y_label, scale=alt.Scale(zero=False), axis=_few_ticks()),
            color=alt.Color("kind:N", scale=colours, legend=legend),
            shape=alt.Shape("kind:N", scale=shapes, legend=legend),
            tooltip=["kind:N", *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in "xy")],
        )
        .add_params(_zoom("x", "y"))
    )
    layers = [points]
    if chart.identity and rows:
        values = [value for row in rows for value in (row["x"], row["y"])]
        ends = [{"x": value, "y": value} for value in (min(values), max(values))]
        diagonal = alt.Chart(alt.InlineData(values=ends)).mark_line(strokeDash=[4, 4], color="#7F7F7F")
        layers.insert(0, diagonal.encode(x="x:Q", y="y:Q"))
    title = alt.TitleParams(panel.title, subtitle=panel.note, anchor="start", subtitleColor="currentColor")
    return alt.layer(*layers).properties(height=240, title=title)


def _heat(chart: HeatChart) -> Any:
    import altair as alt

    cells: list[dict[str, Any]] = [
        {"row": row, "column": column, "value": value}
        for row, values in zip(chart.rows, chart.values, strict=True)
        for column, value in zip(chart.columns, values, strict=True)
        if value is not None
    ]
    axis, limit = alt.Axis(labelLimit=120, labelOverlap=False), max(abs(cell["value"]) for cell in cells)
    colours = alt.Scale(scheme="redblue", reverse=True, domain=[-limit, limit])
    legend = alt.Legend(orient="bottom", title=chart.value_label, titleLimit=320, gradientLength=220)
    return (
        alt.Chart(alt.InlineData(values=cells))
        .mark_rect()
        .encode(
            x=alt.X(
                "column:N",
                sort=list(chart.columns),
                title=_wrapped(chart.x_label, _AXIS_CHARACTERS),
                axis=axis,
            ),
            y=alt.Y("row:N", sort=list(chart.rows), title=chart.y_label, axis=axis),
            color=alt.Color("value:Q", scale=colours, legend=legend),
            tooltip=["row:N", "column:N", alt.Tooltip("value:Q", format=".4~g")],
        )
        .properties(height=max(180, 20 * len(chart.rows)))
    )


def _places(count: int) -> Any:
    """Rows of equal height below each other, named by the texts that stand in some of them."""
    import altair as alt

    return alt.Y("place:O", axis=None, scale=alt.Scale(domain=list(range(count)), padding=0))


def _texts(rows: Sequence[dict[str, Any]], count: int) -> list[Any]:
    """Labels in rows of their own, and notes: beside them, or on a narrow page beside what is drawn below."""
    import altair as alt

    layers = []
    for strong in (True, False):
        chosen = [row for row in rows if row["strong"] == strong]
        if chosen:
            limit = f"{_NARROW} || {str(strong).lower()} ? width : width - {_NOTE}"
            left = alt.Chart(alt.InlineData(values=chosen)).mark_text(
                align="left", fontWeight="bold" if strong else "normal", limit=alt.ExprRef(limit)
            )
            texts = left.encode(y=_places(count), x=alt.value(0), text="label:N", tooltip="label:N")
            layers.append(texts)
    noted = [row for row in rows if row["note"]]
    for below, shown in ((0, f"{_NARROW} ? 0 : 1"), (1, f"{_NARROW} ? 1 : 0")):
        if noted:
            moved = [{"place": row["place"] + below, "note": row["note"]} for row in noted]
            right = alt.Chart(alt.InlineData(values=moved)).mark_text(
                align="right", opacity=alt.ExprRef(shown)
            )
            layers.append(right.encode(y=_places(count), x=alt.value("width"), text="note:N"))
    return layers


def _beside_notes() -> list[Any]:
    """Range of a horizontal axis, which leaves room for notes on a narrow page."""
    import altair as alt

    return [0, alt.ExprRef(f"{_NARROW} ? width - {_NOTE} : width")]


def _zoom(*encodings: str) -> Any:
    import altair as alt

    # The wheel alone scrolls the page, as everywhere else.
    return alt.selection_interval(
        name=ZOOM, encodings=list(encodings), bind="scales", zoom="wheel![event.altKey]"
    )


def _wrapped(text: str, most: int) -> list[str]:
    """Lines of a text, its own and those that keep it narrow."""
    return [part for line in text.split("\n") for part in wrap(line, most) or [""]]


def _few_ticks() -> Any:
    """An axis of a narrow panel, whose numbers do not run into each other."""
    import altair as alt

    return alt.Axis(tickCount=5, labelOverlap=True)


def _legend() -> Any:
    import altair as alt

    return alt.Legend(orient="bottom", columns=1, title=None, labelLimit=alt.ExprRef("width - 30"))
