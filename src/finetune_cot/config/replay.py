"""Reading a config file back in: a manifest of an earlier run, or TOML, YAML or JSON of the same keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune_cot.errors import UsageError


def read_config_file(path: Path, command: str) -> dict[str, Any]:
    """Option values of a config file.

    A manifest (JSON with ``command`` and ``config``) must be of the same command; a directory stands for
    the ``manifest.json`` in it, and an artifact that embeds its manifest for that manifest.

    Raises:
        UsageError: the file is missing, cannot be parsed, or belongs to another command.
    """
    if path.is_dir():
        path = path / "manifest.json"
    values = _parse(path)
    metadata = values.get("metadata")
    if isinstance(metadata, Mapping) and isinstance(metadata.get("manifest"), Mapping):
        values = dict(metadata["manifest"])
    if "config" not in values:
        return values
    if values.get("command", command) != command:
        raise UsageError(
            f"this is the config of `ftcot {values['command']}`, not of `ftcot {command}`", where=path
        )
    if not isinstance(values["config"], Mapping):
        raise UsageError("`config` holds no table of options", where=path)
    return dict(values["config"])


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=path, remedy="check --config") from None
    except UnicodeDecodeError:
        raise UsageError("is not a text file", where=path, remedy="check --config") from None
    values = _parsers()[_format(path)](text, path)
    if not isinstance(values, dict):
        raise UsageError("holds no table of options", where=path)
    return values


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _parsers():
        raise UsageError(
            f"unknown kind of config file {suffix!r}", where=path, remedy="use .json, .toml or .yaml"
        )
    return suffix


def _parsers() -> dict[str, Any]:
    return {".json": _parse_json, ".toml": _parse_toml, ".yaml": _parse_yaml, ".yml": _parse_yaml}


def _parse_json(text: str, path: Path) -> Any:
    import json

    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"is no JSON: {error}", where=path) from None


def _parse_toml(text: str, path: Path) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is no TOML: {error}", where=path) from None


def _parse_yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"is no YAML: {error}", where=path) from None
