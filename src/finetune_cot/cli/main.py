"""The ``ftcot`` command: finds the subcommand, runs it, and turns errors into one line and an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from finetune_cot import __version__
from finetune_cot.cli.arguments import spread_completion, spread_lists
from finetune_cot.cli.output import is_first_process
from finetune_cot.errors import FtcotError, StoppedByAnotherError
from finetune_cot.pipeline.progress import can_draw

SUMMARY = "Teach small language models to reason, and choose the data worth fine-tuning on."

COMMANDS = {
    "demo": "The whole road in minutes: teach, build data, train, measure, report.",
    "data": "List, show, import, fetch and generate data sets.",
    "teach": "Let a teacher write rationales.",
    "build-finetune-data": "Turn right rationales into training data.",
    "train": "Fine-tune a student.",
    "evaluate": "Measure a model's answers.",
    "export-hf": "Write a checkpoint as a Hugging Face model.",
    "grads": "Take one projected gradient of every sample.",
    "estimate": "Estimate the losses of any subset of the tasks.",
    "sample-truth": "Really fine-tune on subsets of the tasks.",
    "select": "Choose the tasks worth fine-tuning on.",
    "report": "Tables and figures of everything saved.",
}
"""Help of each command, so that ``ftcot --help`` imports none of them."""

PANELS = {
    "Begin here": ("demo", "data"),
    "Teach a student to reason": ("teach", "build-finetune-data", "train", "evaluate", "export-hf"),
    "Choose what to train on": ("grads", "estimate", "sample-truth", "select"),
    "See what came of it": ("report",),
}
"""Where each command stands in the help on a terminal."""

COMPLETION_VARIABLE = "_FTCOT_COMPLETE"


def entry() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command line; returns 0, 1 for a failed run, 2 for bad usage, 130 when interrupted."""
    from_shell = COMPLETION_VARIABLE in os.environ
    if from_shell:
        spread_completion(os.environ)
    words = spread_lists(arguments) or ["--help"]
    if words == ["data"]:
        words.append("--help")
    try:
        app = build_app(None if from_shell else _command_name(words))
        if "--help" in words and can_draw(sys.stdout) and not from_shell:
            from finetune_cot.cli.panels import draw_help

            if draw_help(app, words):
                return 0
        code = app(args=words, prog_name="ftcot", standalone_mode=False)
    except StoppedByAnotherError as error:
        return error.exit_code
    except FtcotError as error:
        return _fail(arguments, str(error), error.exit_code, type(error).__name__, error)
    except TyperException as error:
        if not is_first_process():
            return 2
        return _fail(arguments, " ".join(error.format_message().split()), error.exit_code, "UsageError")
    except (KeyboardInterrupt, Abort):
        code = 130
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(arguments, f"{place}{error.strerror or error}", 1, "OSError")
    if code == 130:
        message = "interrupted; what is done is kept, and the same command goes on from there"
        return _fail(arguments, message, 130, "Interrupted")
    return code if isinstance(code, int) else 0


def build_app(selected: str | None) -> typer.Typer:
    """The Typer app with one command in full and the others by name; all in full where none is selected."""
    app = typer.Typer(
        name="ftcot",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(help=SUMMARY)(_root)
    for name, summary in COMMANDS.items():
        if selected in (name, None):
            import_module(f"finetune_cot.cli.{name.replace('-', '_')}").add_to(app)
        else:
            panel = next(panel for panel, names in PANELS.items() if name in names)
            app.command(name, help=summary, short_help=summary, rich_help_panel=panel)(_not_selected)
    return app


def _command_name(arguments: Sequence[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "")


def _not_selected() -> None:
    """Stand in for a command that this call does not name."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ftcot {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def _fail(
    arguments: Sequence[str], message: str, code: int, kind: str, error: FtcotError | None = None
) -> int:
    if "--json" in arguments:
        import json

        details = {"what": error.what, "where": error.where, "remedy": error.remedy} if error else {}
        report = {"type": kind, "message": message, "exit_code": code, **details}
        typer.echo(json.dumps({"schema_version": 1, "error": report}))
    else:
        typer.echo(f"ftcot: {message}", err=True)
    return code
