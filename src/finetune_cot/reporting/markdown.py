"""A report as Markdown; names are escaped, so that no key can break a table or turn into markup."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from finetune_cot.reporting.sections import Section
from finetune_cot.reporting.tables import Cell, Table

MAX_ROWS = 60
"""Rows of a table that are shown; its CSV file holds all."""


def to_markdown(
    title: str, words: Iterable[str], sections: Iterable[Section], figure_format: str | None
) -> str:
    """The whole report.

    Args:
        title: Its heading.
        words: Paragraphs under the heading.
        sections: What it shows.
        figure_format: File ending of the figures that it links to; None for no figures.
    """
    blocks = [f"# {escape(title)}", *map(escape, words)]
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
    shown = table.rows[:MAX_ROWS]
    headings = [escape(heading) for heading in table.headings or table.columns]
    rules = ["---:" if _is_numeric(shown, column) else "---" for column in range(len(headings))]
    lines = [_line(headings), _line(rules), *(_line(map(_text, row)) for row in shown)]
    more = len(table.rows) - len(shown)
    notes = [escape(note) for note in table.notes]
    if more:
        notes.append(f"{more} more rows are in {_link(f'{table.name}.csv')}.")
    return "\n\n".join(["\n".join(lines), *notes])


def _section(section: Section, figure_format: str | None) -> list[str]:
    blocks = [f"## {escape(section.title)}", *map(escape, section.words)]
    if figure_format is not None:
        blocks += [
            f"![{escape(chart.title)}]({quote(f'{chart.name}.{figure_format}')})" for chart in section.charts
        ]
    blocks += map(table_to_markdown, section.tables)
    files = [_link(f"{table.name}.csv") for table in (*section.tables, *section.data)]
    return [*blocks, f"Data: {', '.join(files)}"]


def _link(name: str) -> str:
    return f"[{escape(name)}]({quote(name)})"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(cell: Cell) -> str:
    return f"**{escape(cell.text)}**" if cell.strong else escape(cell.text)


def _is_numeric(rows: Sequence[Sequence[Cell]], column: int) -> bool:
    values = [row[column].value for row in rows if row[column].value is not None]
    return bool(values) and not any(isinstance(value, str) for value in values)
