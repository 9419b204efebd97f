"""Keys: the names that make up ids, and so file names."""

import re
import unicodedata
from pathlib import Path

from finetune_cot.errors import UsageError

MAX_BYTES = 120
"""Longest key; a file name holds several of them and may have 255 bytes."""


def check_key(key: str, what: str = "key") -> str:
    """Return a key that can be part of a file name under ``saved/`` and can be read out of it again.

    Raises:
        UsageError: the key is empty or too long, or holds something that could lead out of its folder or be
            taken for the marks between keys.
    """
    wrong = _what_is_wrong(key)
    if wrong:
        raise UsageError(f"{what} {key!r} {wrong}", remedy="use letters, digits, '.', '-' and '_'")
    return key


def model_slug(model_key: str) -> str:
    """A model's name as a key: ``google/gemma-2b`` becomes ``google-gemma-2b``; of a local folder, its name.

    Raises:
        UsageError: nothing that can be a key is left.
    """
    path = Path(model_key).expanduser()
    local = model_key.startswith((".", "/", "~")) or (path.is_dir() and len(path.parts) != 2)
    name = path.resolve().name if local else model_key.replace("/", "-")
    return check_key(re.sub(r"[\s:]", "-", name), "model key")


def _what_is_wrong(key: str) -> str | None:
    if not key:
        return "is empty"
    if len(key.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        return f"is longer than {MAX_BYTES} bytes"
    if "/" in key or "\\" in key:
        return "holds a path separator"
    if ".." in key:
        return "holds '..'"
    if any(unicodedata.category(character)[0] in "CZ" for character in key):
        return "holds a space or a control character"
    if "__" in key or key[0] in "_.-" or key[-1] == "_":
        return "holds '__', ends in '_', or begins with '_', '.' or '-'"
    return None
