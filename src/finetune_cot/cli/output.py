"""Results on standard output: one JSON object, or lines and tables for people."""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

SCHEMA_VERSION = 1


def is_first_process() -> bool:
    """Whether this process tells the result: the only one, or the first that a launcher started."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def show_json(result: Any) -> None:
    """Print a result dataclass as one JSON object."""
    typer.echo(json.dumps({"schema_version": SCHEMA_VERSION, **to_json(result)}, allow_nan=False))


def show_fields(result: Any) -> None:
    """Print a result dataclass as a line per field; nested tables below each other."""
    values = to_json(result)
    width = max(map(len, values), default=0)
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            typer.echo(f"{name}:")
            show_table(list(value[0]), [list(row.values()) for row in value])
        elif value is not None and value != {} and value != []:
            typer.echo(f"{name.replace('_', ' '):<{width}}  {format_value(value)}")


def show_plan(plan: Mapping[str, Any]) -> None:
    """Print a plan as a line per entry, with every file or run on a line of its own."""
    width = max(map(len, plan), default=0)
    for name, value in plan.items():
        listed = isinstance(value, list) and name != "tasks"
        for line in map(format_value, value if listed else [value]):
            typer.echo(f"{name:<{width}}  {line}")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table: ruled on a terminal, tab-separated lines otherwise.

    On a terminal so narrow that words would be cut, each row is a line that names its columns.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        for line in ([*columns], *rows):
            typer.echo("\t".join(format_value(value) for value in line))
        return
    told = [[format_value(value) for value in row] for row in rows]
    cells = [[*column] for column in zip(columns, *told, strict=True)]
    longest_words = [max(map(len, " ".join(column).split())) for column in cells]
    if sum(longest_words) + 3 * (len(columns) - 1) <= console.width:
        table = Table(box=SIMPLE, show_edge=False, pad_edge=False)
        for column, longest in zip(cells, longest_words, strict=True):
            table.add_column(column[0], no_wrap=longest == max(map(len, column)))
        for row in told:
            table.add_row(*map(escape, row))
        console.print(table)
        return
    for first, *others in told:
        named = zip(columns[1:], others, strict=True)
        typer.echo(f"{first}: {', '.join(f'{name} {value}' for name, value in named)}")


def format_value(value: Any) -> str:
    """A value as people read it: four digits of a float, the inside of a list or a mapping."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {format_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(format_value(item) for item in value)
    return str(value)


def to_json(result: Any) -> Any:
    """Plain JSON values of a dataclass; a number that JSON cannot hold becomes null."""
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {item.name: to_json(getattr(result, item.name)) for item in dataclasses.fields(result)}
    if isinstance(result, dict):
        return {str(key): to_json(value) for key, value in result.items()}
    if isinstance(result, list | tuple):
        return [to_json(value) for value in result]
    if isinstance(result, float) and (result != result or abs(result) == float("inf")):
        return None
    return str(result) if isinstance(result, Path) else result
