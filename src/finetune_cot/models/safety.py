"""What a model's folder must hold, and must not, before any library opens it."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from finetune_cot.errors import ModelError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_AGAIN = "download, train or export the model again"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CODE_KEYS = frozenset({"_attn_implementation_internal", "auto_map"})
"""Keys by which a configuration file names code; transformers before 5.5 runs it even when told not to."""


def check_model_folder(folder: Path, *, weights: bool = True) -> None:
    """Check that a folder holds a model that is safe to load.

    Raises:
        ModelError: configuration or weights are missing or torn, the weights are pickles, or the installed
            transformers would run code that the folder names.
    """
    _refuse_code(folder, version("transformers"))
    if weights:
        weight_files(folder)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ModelError: the file is missing, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=path, remedy="is this a model?") from None
    except ValueError as error:
        raise ModelError(f"is torn or no JSON: {error}", where=path, remedy=_AGAIN) from None
    if not isinstance(content, dict):
        raise ModelError("is no JSON object", where=path, remedy=_AGAIN)
    return content


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a model, sorted.

    Raises:
        ModelError: there are none, or not all that the index names.
    """
    if (folder / INDEX).is_file():
        names = set(read_object(folder / INDEX).get("weight_map", {}).values())
        files = [folder / Path(name).name for name in sorted(names)]
    else:
        files = [folder / WEIGHTS]
    missing = [file.name for file in files if not file.is_file()]
    if not missing and files:
        return tuple(files)
    if any(folder.glob(pattern) for pattern in _PICKLES if list(folder.glob(pattern))):
        raise ModelError(
            "holds pickled weights, which can run code when they are opened; only safetensors are read",
            where=folder,
            remedy="convert them: https://huggingface.co/docs/safetensors/convert-weights",
        )
    raise ModelError(
        f"the model's weights are missing: {', '.join(missing[:3]) or 'the index names none'}",
        where=folder,
        remedy=_AGAIN,
    )


def _refuse_code(folder: Path, transformers_version: str) -> None:
    config = read_object(folder / "config.json")
    tokenizer = folder / "tokenizer_config.json"
    found = set(_keys(config)) | (set(_keys(read_object(tokenizer))) if tokenizer.is_file() else set())
    dangerous = sorted(found & _CODE_KEYS)
    major, minor = (int(part) for part in transformers_version.split(".")[:2])
    if dangerous and (major, minor) < (5, 5):
        raise ModelError(
            f"its configuration names code to run ({', '.join(dangerous)}), and transformers"
            f" {transformers_version} would run it unasked",
            where=folder,
            remedy="use this model in an environment with transformers 5.5 or newer",
        )


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keys(item)
