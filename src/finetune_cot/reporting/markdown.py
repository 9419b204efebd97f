"""A report as Markdown; names are escaped, so that no key can break a table or turn into markup."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from finetune_cot.reporting.highlights import Summary
from finetune_cot.reporting.sections import Section
from finetune_cot.reporting.tables import Cell, Table, is_numeric, shown_places

MAX_ROWS = 60
"""Rows of a table that are shown; its CSV file holds all."""


def to_markdown(
    title: str,
    words: Iterable[str],
    first: Summary,
    sections: Iterable[Section],
    figure_format: str | None,
) -> str:
    """The whole report.

    Args:
        title: Its heading.
        words: Paragraphs under the heading.
        first: What was found, in sentences.
        sections: What it shows.
        figure_format: File ending of the figures that it links to; None for no figures.
    """
    blocks = [f"# {escape(title)}", *map(escape, words), *_first(first)]
    for section in sections:
        blocks += _section(section, figure_format)
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, also within a table."""
    line = " ".join(text.split())
    line = re.sub(r"([\\`*|<>\[\]~$])", r"\\\1", line).replace("&", "&amp;")
    # Within a word an underscore is plain, and keys are full of them.
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)


def table_to_markdown(table: Table) -> str:
    """A table, with numbers to the right, and its notes under it."""
    places = shown_places(table)
    rows = [[row[place] for place in places] for row in table.rows[:MAX_ROWS]]
    headings = [escape(table.headings[place]) for place in places]
    rules = ["---:" if is_numeric(table, place) else "---" for place in places]
    lines = [_line(headings), _line(rules), *(_line(map(_text, row)) for row in rows)]
    more = len(table.rows) - len(rows)
    notes = [escape(note) for note in table.notes]
    if more:
        notes.append(f"{more} more rows are in {_link(f'{table.name}.csv')}.")
    return "\n\n".join(["\n".join(lines), *([" ".join(notes)] if notes else [])])


def _first(first: Summary) -> Iterator[str]:
    if first.found:
        yield "## In short"
        yield _list(map(escape, first.found))
    if first.trust:
        yield "## How far to trust it"
        yield _list(map(escape, first.trust))
    if first.next:
        yield "## What to do next"
        yield _list(f"{escape(what)}: `{command}`" for what, command in first.next)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _section(section: Section, figure_format: str | None) -> list[str]:
    blocks = [f"## {escape(section.title)}", *map(escape, section.words)]
    blocks += map(table_to_markdown, section.tables)
    if figure_format is not None:
        blocks += [_picture(chart.title, f"{chart.name}.{figure_format}") for chart in section.charts]
    files = [_link(f"{table.name}.csv") for table in (*section.tables, *section.data)]
    return [*blocks, f"Data: {', '.join(files)}"]


def _picture(title: str, name: str) -> str:
    return f"![{escape(title)}]({quote(name)})"


def _link(name: str) -> str:
    return f"[{escape(name)}]({quote(name)})"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(cell: Cell) -> str:
    return f"**{escape(cell.text)}**" if cell.strong else escape(cell.text)
