"""The one place where an option is declared: a dataclass field with its help, names and checks."""

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, Union, dataclass_transform, get_args, get_origin

from finetune_cot.errors import UsageError

Config = TypeVar("Config")
Check = Callable[[Any], str | None]


@dataclass(frozen=True)
class Option:
    """What a command-line option is, beyond its field's name, type and default."""

    help: str
    aliases: tuple[str, ...] = ()
    """Further names, with their dashes."""
    choices: tuple[str, ...] = ()
    """The values that are allowed; empty for any."""
    check: Check | None = None
    """Says what is wrong with a value, or None."""
    values: str | None = None
    """What shell completion offers: such as ``dataset_keys``; `cli.values` knows them all."""
    environment: str | None = None
    """Environment variable that is read where the option is not given."""
    argument: bool = False
    """Given by its place on the command line rather than by name."""
    hidden: bool = False
    """Accepted for the sake of older scripts, not shown."""


@dataclass(frozen=True)
class OptionSpec:
    """An option as the command line sees it."""

    name: str
    type: Any
    """Type of one value, without None and without the tuple around it."""
    many: bool
    """Whether it takes several values."""
    default: Any
    option: Option
    group: str | None = None
    """What the options are about that it is inherited with; None for a command's own."""


def option(default: Any, help: str, **described: Any) -> Any:
    """Declare an option as a dataclass field; the keywords are those of `Option`."""
    return field(default=default, metadata={"option": Option(help, **described)})


@dataclass_transform(frozen_default=True)
def command_config(config: type[Config]) -> type[Config]:
    """Make a class of `option` fields into a frozen dataclass that refuses values which are not allowed."""
    config.__post_init__ = validate  # type: ignore[attr-defined]
    return dataclass(frozen=True)(config)


def option_specs(config: type[Any]) -> list[OptionSpec]:
    """Options of a command's config, in the order of declaration."""
    return [
        OptionSpec(
            item.name,
            *_value_type(item.type),
            item.default,
            item.metadata["option"],
            _group(config, item.name),
        )
        for item in fields(config)
    ]


def flag(name: str) -> str:
    """Name of an option on the command line: ``model_key`` -> ``--model-key``."""
    return "--" + name.replace("_", "-")


def build(config: type[Config], values: Mapping[str, Any], where: object = None) -> Config:
    """Make a command's config from plain values, as a file or a command line holds them.

    Raises:
        UsageError: an unknown key, a value of the wrong type, or one that fails the option's check.
    """
    specs = {spec.name: spec for spec in option_specs(config)}
    given: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in specs:
            close = get_close_matches(name, specs, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(specs)}"
            raise UsageError(f"unknown option {key!r}", where=where, remedy=remedy)
        given[name] = _convert(specs[name], value, where)
    return config(**given)


def validate(config: Any) -> None:
    """Check every value of a config against its declaration; called when it is made.

    Raises:
        UsageError: names the option, the value and what is allowed.
    """
    for spec in option_specs(type(config)):
        value = getattr(config, spec.name)
        for item in (value or ()) if spec.many else (value,):
            _validate_value(spec, item)


def to_plain(config: Any) -> dict[str, Any]:
    """Flat dict of JSON values from which `build` makes an equal config again."""
    return {item.name: _plain(getattr(config, item.name)) for item in fields(config)}


def replace(config: Config, **changes: Any) -> Config:
    """Copy of a config with some options changed, checked again."""
    return dataclasses.replace(config, **changes)  # type: ignore[type-var]


def _group(config: type[Any], name: str) -> str | None:
    """The first line that documents the base class which declares an option."""
    declared_in = next(base for base in config.__mro__ if name in inspect.get_annotations(base))
    return None if declared_in is config else (declared_in.__doc__ or "").splitlines()[0].rstrip(".")


def _validate_value(spec: OptionSpec, value: Any) -> None:
    if value is None:
        return
    if spec.option.choices and value not in spec.option.choices:
        raise UsageError(f"{value!r} is not one of {', '.join(spec.option.choices)}", where=flag(spec.name))
    wrong = spec.option.check(value) if spec.option.check else None
    if wrong:
        raise UsageError(f"{value!r} {wrong}", where=flag(spec.name))


def _value_type(annotation: Any) -> tuple[Any, bool]:
    """Type of one value, and whether there may be several."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [item for item in get_args(annotation) if item is not type(None)]
        return _value_type(inner[0])
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0], True
    return annotation, False


def _convert(spec: OptionSpec, value: Any, where: object) -> Any:
    if value is None:
        return None
    if not spec.many:
        return _convert_one(spec, value, where)
    items = value if isinstance(value, list | tuple) else [value]
    parts = [part for item in items for part in (item.split(",") if isinstance(item, str) else [item])]
    return tuple(_convert_one(spec, part, where) for part in parts if part != "")


def _convert_one(spec: OptionSpec, value: Any, where: object) -> Any:
    place = f"{where}, {flag(spec.name)}" if where else flag(spec.name)
    if spec.type is bool:
        if isinstance(value, bool):
            return value
        raise UsageError(f"{value!r} is not true or false", where=place)
    if isinstance(value, list | dict):
        raise UsageError(f"{value!r} is not a single value", where=place)
    try:
        if spec.type is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        return spec.type(value)
    except (ValueError, OverflowError):
        kind = {int: "a whole number", float: "a number"}.get(spec.type, f"a {spec.type.__name__}")
        raise UsageError(f"{value!r} is not {kind}", where=place) from None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
