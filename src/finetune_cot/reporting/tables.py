"""A table, apart from how it is rendered: values to compute with, and how people read them."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Value = str | int | float | None


@dataclass(frozen=True)
class Cell:
    """A value and its text."""

    value: Value
    text: str
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns."""

    name: str
    """Name of its CSV file, without the ending."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    headings: tuple[str, ...]
    """The columns as people read them."""
    csv_only: tuple[str, ...] = ()
    """Columns that are in the CSV file alone."""
    notes: tuple[str, ...] = ()


def table(
    name: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell | Value]],
    *,
    headings: Sequence[str] | None = None,
    csv_only: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> Table:
    """A table of cells, or of plain values, which are shown as they are."""
    cells = tuple(tuple(_cell(value) for value in row) for row in rows)
    shown = headings or [column.replace("_", " ") for column in columns]
    return Table(name, tuple(columns), cells, tuple(shown), tuple(csv_only), tuple(notes))


def percent(share: float, error: float | None = None, mark: str = "", strong: bool = False) -> Cell:
    """A fraction as a percentage, with its error after ``±``."""
    spread = "" if error is None else f" ± {100 * error:.1f}"
    return Cell(share, f"{100 * share:.1f}{spread}{mark}", strong)


def to_csv(content: Table) -> str:
    """The values, one row a line; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(content.columns)
    writer.writerows([cell.value for cell in row] for row in content.rows)
    return text.getvalue()


def shown_places(content: Table) -> list[int]:
    """Places of the columns that are shown: not those of the CSV file alone, nor those without any text."""
    return [
        place
        for place, column in enumerate(content.columns)
        if column not in content.csv_only and any(row[place].text for row in content.rows)
    ]


def is_numeric(content: Table, place: int) -> bool:
    """Whether a column holds no text."""
    return not any(isinstance(row[place].value, str) for row in content.rows)


def _cell(value: Cell | Value) -> Cell:
    if isinstance(value, Cell):
        return value
    if value is None:
        return Cell(None, "")
    return Cell(value, f"{value:.4g}" if isinstance(value, float) else str(value))
