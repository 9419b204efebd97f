"""From a config class to a Typer command: every option of the class, ``--config`` and ``--json``."""

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from finetune_cot.cli.output import is_first_process, show_fields, show_json
from finetune_cot.cli.values import offered_values
from finetune_cot.config.options import OptionSpec, build, flag, option_specs
from finetune_cot.config.replay import read_config_file
from finetune_cot.errors import FtcotError

Config = TypeVar("Config")

AS_IT_STANDS = "\b\n"
"""Keeps Typer from joining the lines of a paragraph."""


def add_command(
    app: typer.Typer,
    name: str,
    config: type[Config],
    run: Callable[[Config], Any],
    show: Callable[[Any], None] = show_fields,
    manifest_command: str | None = None,
    processes: Callable[[Config], int] | None = None,
    examples: Sequence[str] = (),
) -> None:
    """Add a command that builds its config, runs one pipeline function and shows the dataclass it returns.

    Args:
        app: Where the command is added.
        name: Its name.
        config: Its options.
        run: What it does.
        show: Shows what came of it to people.
        manifest_command: The command whose manifests ``--config`` takes, if it is another.
        processes: In how many processes it is to run; without it, in this one.
        examples: What people may type, after ``ftcot`` and the name.
    """
    specs = option_specs(config)

    def command(**given: Any) -> None:
        config_file: Path | None = given.pop("config")
        as_json: bool = given.pop("json")
        try:
            values = read_config_file(config_file, manifest_command or name) if config_file else {}
            flags = {key: value for key, value in given.items() if value not in (None, [])}
            built = build(config, _environment(specs) | build_keys(values) | flags, None)
        except FtcotError as error:
            if is_first_process():
                raise
            raise typer.Exit(error.exit_code) from None  # every process finds the same
        count = processes(built) if processes else 1
        if count > 1:
            from finetune_cot.pipeline.launching import run_in_processes

            run_in_processes(name, built, count, *(["--json"] if as_json else []))
            return
        if as_json:
            # A library that prints must not spoil the one JSON object on standard output.
            with contextlib.redirect_stdout(sys.stderr):
                result = run(built)
        else:
            result = run(built)
        if is_first_process():
            (show_json if as_json else show)(result)

    parameters = [_parameter(spec) for spec in specs] + _common_parameters()
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    epilog = _epilog(manifest_command or name, examples)
    app.command(name, help=config.__doc__, short_help=config.__doc__, epilog=epilog)(command)


def build_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a config file with underscores, as the config classes have them."""
    return {key.replace("-", "_"): value for key, value in values.items()}


def _environment(specs: list[OptionSpec]) -> dict[str, str]:
    named = {spec.name: spec.option.environment for spec in specs if spec.option.environment}
    return {name: os.environ[variable] for name, variable in named.items() if os.environ.get(variable)}


def _epilog(name: str, examples: Sequence[str]) -> str:
    lines = "\n".join(f"ftcot {name} {words}".rstrip() for words in examples)
    return f"Examples:\n\n{AS_IT_STANDS}{lines}"


def _parameter(spec: OptionSpec) -> inspect.Parameter:
    annotation = list[str] | None if spec.many else spec.type | None
    described: dict[str, Any] = {
        "help": _help(spec),
        "rich_help_panel": spec.group,
        "show_default": False,
        "hidden": spec.option.hidden,
    }
    if spec.option.choices or spec.option.values:
        described["autocompletion"] = offered_values(spec)
    if spec.option.argument:
        declared = typer.Argument(metavar=spec.name.upper(), **described)
    else:
        negation = f"/--no-{flag(spec.name)[2:]}" if spec.type is bool else ""
        metavar = _metavar(spec)
        declared = typer.Option(
            flag(spec.name) + negation, *spec.option.aliases, metavar=metavar, **described
        )
    return inspect.Parameter(
        spec.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, declared]
    )


def _common_parameters() -> list[inspect.Parameter]:
    config = typer.Option("--config", help="Options from a manifest, TOML, YAML or JSON; flags override it.")
    as_json = typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter("config", keyword, default=None, annotation=Annotated[Path | None, config]),
        inspect.Parameter("json", keyword, default=False, annotation=Annotated[bool, as_json]),
    ]


def _help(spec: OptionSpec) -> str:
    environment = f" [${spec.option.environment}]" if spec.option.environment else ""
    default = _default_text(spec)
    named = spec.option.choices and _choices_as_metavar(spec) is None
    among = f" One of {', '.join(spec.option.choices)}." if named else ""
    return spec.option.help + among + environment + (f" [default: {default}]" if default else "")


def _default_text(spec: OptionSpec) -> str:
    if spec.default is None or spec.default == ():
        return ""
    if spec.many:
        return ",".join(map(str, spec.default))
    if spec.type is bool:
        return "yes" if spec.default else ""
    return str(spec.default)


def _metavar(spec: OptionSpec) -> str | None:
    if spec.type is bool:
        return None
    plain = {int: "INTEGER", float: "NUMBER", Path: "PATH"}.get(spec.type, "TEXT")
    word = _choices_as_metavar(spec) or plain
    return f"{word} ..." if spec.many else word


def _choices_as_metavar(spec: OptionSpec) -> str | None:
    """The allowed values instead of their type, where they are short enough to stand there."""
    word = "|".join(spec.option.choices)
    return word if 0 < len(word) <= 48 else None
