"""Reads and writes the text files of the data folder, in words for whoever put them there."""

import json
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.files import write_text_atomic
from finetune_cot.errors import DataError


def read_text(path: Path) -> str:
    """Content of a UTF-8 file, with or without a byte order mark.

    Raises:
        DataError: it is not there, cannot be read, or is in another encoding; names the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError("is not there", where=path, remedy="check the path") from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, remedy="check the path") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            "is no UTF-8 text", where=f"{path}, line {line}", remedy="save the file as UTF-8"
        ) from None


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        DataError: it is not there, or no whole JSON; names the line and column.
    """
    return parse_json(read_text(path), path)


def parse_json(text: str, where: object, first_line: int = 1) -> Any:
    """A JSON value.

    Args:
        text: The text of the value alone.
        where: File that it stands in.
        first_line: Line of the file on which the text begins.

    Raises:
        DataError: it is no whole JSON; names the line and column.
    """
    try:
        value = json.loads(text)
        if "\\u" in text:  # only an escape can bring half a character in
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise DataError(
            f"is cut off or no JSON: {error.msg}",
            where=f"{where}, line {first_line + error.lineno - 1}, column {error.colno}",
            remedy="get the file again, or mend that place",
        ) from None
    except UnicodeEncodeError:
        raise DataError(
            "holds half a character, such as \\ud83d alone",
            where=f"{where}, line {first_line}",
            remedy="mend or remove that row",
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or depth without end
        raise DataError(
            f"is no JSON that can be read: {error}",
            where=f"{where}, line {first_line}",
            remedy="mend or remove that row",
        ) from None
    return value


def store_text(path: Path, text: str, overwrite: bool) -> bool:
    """Write a file of the data folder, whole or not at all.

    Returns:
        False where the file already held just this.

    Raises:
        DataError: another file of that name is there and ``overwrite`` is false.
        ArtifactError: it cannot be written.
    """
    if path.exists() and path.read_bytes() == text.encode():
        return False
    if not overwrite:
        refuse_other(path, text)
    write_text_atomic(path, text)
    return True


def refuse_other(path: Path, text: str) -> None:
    """Do nothing where a file may be written: none is there, or one with just this text.

    Raises:
        DataError: another file of that name is there.
    """
    if path.exists() and path.read_bytes() != text.encode():
        raise DataError("is there already and differs", where=path, remedy="use --overwrite, or another name")
