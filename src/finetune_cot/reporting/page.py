"""The report as one HTML page that needs no network: charts to hover and zoom, and completions to read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from finetune_cot.reporting.charts import (
    BarChart,
    ChangeChart,
    Chart,
    HeatChart,
    LineChart,
    ScatterChart,
    has_values,
)
from finetune_cot.reporting.findings import Measurement
from finetune_cot.reporting.highlights import Summary
from finetune_cot.reporting.naming import naming
from finetune_cot.reporting.samples import MAX_CHARACTERS, drawn
from finetune_cot.reporting.sections import Section
from finetune_cot.reporting.tables import is_numeric, shown_places
from finetune_cot.reporting.vega import specs

MAX_ROWS = 300
"""Rows of a table that are shown; its CSV file holds all."""
MAX_TOLD = 12
"""Values that the words instead of a chart tell."""
MAX_DRAWN = 80
"""Charts of a page."""


@dataclass(frozen=True)
class DrawnChart:
    """A chart as the page holds it."""

    name: str
    title: str
    words: str
    """Instead of the chart, for those who do not see it."""
    specs: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Samples:
    """Completions that the page's reader may filter."""

    files: list[str]
    rows: list[list[Any]]
    """Number of the file, sample index, completion index, four texts, the prediction, and marks."""
    completions: int
    """All that were scored."""


def to_page(
    title: str,
    words: Iterable[str],
    first: Summary,
    glossary: Iterable[tuple[str, str]],
    content: Sequence[Section],
    measurements: Sequence[Measurement],
    scripts: str,
) -> str:
    """The whole page; every text of models and data sets is escaped.

    Args:
        title: Its heading.
        words: Paragraphs under the heading.
        first: What was found, in sentences.
        glossary: Words with their meaning.
        content: The sections that the report shows in all its forms.
        measurements: Completions to read.
        scripts: What draws the charts.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("finetune_cot.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"shown_places": shown_places, "is_numeric": is_numeric, "slug": slug}
    every = [chart for section in content for chart in section.charts if has_values(chart)]
    charts = every[:MAX_DRAWN]
    more = [f"Drawn are the first {MAX_DRAWN} of {len(every)} charts."] if len(every) > MAX_DRAWN else []
    text: str = environment.get_template("page.html").render(
        title=title,
        words=[*words, *more],
        first=first,
        glossary=list(glossary),
        sections=content,
        charts={chart.name: _drawn(chart) for chart in charts},
        samples=samples(measurements),
        max_rows=MAX_ROWS,
        max_characters=MAX_CHARACTERS,
        scripts=scripts,
    )
    return text


def slug(title: str) -> str:
    """An address within the page."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def samples(measurements: Sequence[Measurement]) -> Samples:
    """A draw of the completions with what the checker said of them."""
    files, rows = [], []
    for number, (item, chosen) in enumerate(drawn(measurements)):
        name = naming(item)
        training = f" [{name.training}]" if name.training else ""
        epoch = "" if item.id.epoch is None else f", epoch {item.id.epoch}"
        files.append(f"{item.id.dataset_key}: {name.model}, {name.method}{training}{epoch} ({item.part})")
        for shown in chosen:
            indices = number, shown.sample_index, shown.completion_index
            texts = shown.question, shown.rationale, shown.completion, shown.answer
            verdict = shown.verdict
            marks = [
                mark
                for mark, holds in (
                    ("right", verdict.correct),
                    ("wrong", verdict.gradable and not verdict.correct),
                    ("ungradable", not verdict.gradable),
                    ("format", not verdict.correct_format),
                    ("cut", verdict.complete is False),
                )
                if holds
            ]
            rows.append([*indices, *texts, verdict.prediction, marks])
    return Samples(files, rows, sum(item.score.n + item.score.ungradable for item in measurements))


def in_words(chart: Chart) -> str:
    """What a chart shows, for those who do not see it; long charts are told in part."""
    told: list[str]
    if isinstance(chart, BarChart):
        told = [f"{bar.group}, {bar.label}: {' '.join(bar.note.split())}" for bar in chart.bars]
    elif isinstance(chart, LineChart):
        told = [
            f"{line.label}: {line.points[0].y:.3g} at {line.points[0].x:g}"
            f" to {line.points[-1].y:.3g} at {line.points[-1].x:g}"
            for line in chart.lines
            if line.points
        ]
    elif isinstance(chart, ChangeChart):
        told = [f"{change.label}: {change.first:.3g} to {change.last:.3g}" for change in chart.changes]
    elif isinstance(chart, ScatterChart):
        told = [
            f"{panel.title}: {sum(len(cloud.xs) for cloud in panel.clouds)} points {panel.note}".strip()
            for panel in chart.panels
        ]
    elif isinstance(chart, HeatChart):
        told = [f"{len(chart.rows)} rows by {len(chart.columns)} columns, {chart.value_label}"]
    else:
        told = [
            f"{row.label}: " + ", ".join("none" if value is None else f"{value:.3g}" for value in row.values)
            for row in chart.rows
        ]
    more = f"; and {len(told) - MAX_TOLD} more, in the tables" if len(told) > MAX_TOLD else ""
    return f"{chart.title}. {'; '.join(told[:MAX_TOLD])}{more}."


def _drawn(chart: Chart) -> DrawnChart:
    return DrawnChart(chart.name, chart.title, in_words(chart), tuple(specs(chart)))
