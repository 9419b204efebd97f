"""The command reference, made of the commands themselves each time that the site is built."""

import html
from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from finetune_cot.cli.main import build_app

INTRODUCTION = """\
# Commands

What `ftcot COMMAND --help` tells, of every command."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of all commands and their options."""
    app = typer.main.get_command(build_app(None))
    files.append(File.generated(config, "commands.md", content="\n".join([INTRODUCTION, *_lines(app)])))
    return files


def _lines(group: Any, name: str = "ftcot") -> Iterator[str]:
    """Markdown of a group's commands; a group within it comes as its own commands."""
    for word, command in group.commands.items():
        full = f"{name} {word}"
        if hasattr(command, "commands"):
            yield from _lines(command, full)
            continue
        context = command.context_class(command, info_name=full)
        records = [item.get_help_record(context) for item in command.params]
        yield f"\n## {full}\n\n{_text(command.help)}\n\n| option | what it does |\n|---|---|"
        yield from (f"| `{option}` | {_text(meaning)} |" for option, meaning in filter(None, records))
        examples = command.epilog.partition("\b\n")[2].splitlines()
        yield "\n".join(["", "Examples:", "", *(f"    {line}" for line in examples)])


def _text(plain: str) -> str:
    """A help text as Markdown: what stands between backticks is code, the rest has no marks."""
    parts = plain.split("`")
    parts[::2] = [html.escape(part).replace("*", "&#42;").replace("_", "&#95;") for part in parts[::2]]
    return "`".join(parts).replace("|", "\\|")
