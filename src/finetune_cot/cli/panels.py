"""Help as a terminal shows it: options and commands in panels, by what they are about."""

from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

WIDEST, NARROW = 110, 60
"""Columns that help takes at most, and below which a name stands above its meaning."""

Rows = list[tuple[str, str]]


def draw_help(app: typer.Typer, words: Sequence[str]) -> bool:
    """Print the help that a command line asks for; False where a word of it is no command."""
    found = _find(typer.main.get_command(app), words)
    if found is None:
        return False
    command, name = found
    context = command.context_class(command, info_name=name)
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    console.print(Text(command.get_usage(context), style="bold"), Text(command.help or ""), sep="\n\n")
    for title, rows in _panels(command, context).items():
        body = _draw(rows, console.width)
        console.print(Panel(body, title=Text(title), title_align="left", border_style="dim"))
    if command.epilog:
        heading, _, examples = command.epilog.partition("\n")
        console.print(Text(heading, style="bold"), Text(examples.replace("\b", "").strip()), sep="\n")
    return True


def _find(command: Any, words: Sequence[str]) -> tuple[Any, str] | None:
    """The command that stands before ``--help``, and its full name."""
    name = "ftcot"
    for word in words[: words.index("--help")]:
        commands = getattr(command, "commands", None)
        if commands is None or word.startswith("-"):
            continue
        if word not in commands:
            return None
        command, name = commands[word], f"{name} {word}"
    return command, name


def _panels(command: Any, context: Any) -> dict[str, Rows]:
    """Names and meanings in each panel; options that belong to no group come last."""
    panels: dict[str, Rows] = {}
    own: Rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        title = "Arguments" if parameter.param_type_name == "argument" else parameter.rich_help_panel
        (panels.setdefault(title, []) if title else own).append(record)
    for name, item in getattr(command, "commands", {}).items():
        panels.setdefault(item.rich_help_panel or "Commands", []).append((name, item.short_help))
    return {**panels, "Options": own}


def _draw(rows: Rows, width: int) -> RenderableType:
    table = Table.grid(padding=(0, 2), expand=True)
    if width < NARROW:
        pairs = ((Text(name, style="cyan"), Padding(Text(help), (0, 0, 0, 2))) for name, help in rows)
        return Group(*(part for pair in pairs for part in pair))
    table.add_column(max_width=2 * width // 5, overflow="fold")
    table.add_column(ratio=1)
    for name, help in rows:
        table.add_row(Text(name.replace("|", "| "), style="cyan"), Text(help))
    return table
