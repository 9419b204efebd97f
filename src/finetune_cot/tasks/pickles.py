"""Reads a pickled table, such as skill-it's ``alpaca_final.pkl``, without running what a pickle may hold.

A pickle names functions and calls them, so that reading one from elsewhere means running its author's code.
Here every name is refused that is not on a short list: plain values, and what pandas, numpy and pyarrow make
a table of text and numbers with. None of these opens files, starts programs or imports modules by name.
"""

import importlib
import pickle
from pathlib import Path
from typing import Any

from finetune_cot.errors import DataError
from finetune_cot.tasks.tables import Row, Table

PICKLES = (".pkl", ".pickle")
"""How names of pickles end."""

_BUILTINS = (
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "set",
    "slice",
    "str",
)
_LIBRARIES = {
    "pandas": ("DataFrame", "Index", "RangeIndex", "StringDtype"),
    "pandas.arrays": ("ArrowStringArray",),
    "pandas._libs.internals": ("_unpickle_block",),
    "pandas.core.frame": ("DataFrame",),
    "pandas.core.indexes.base": ("Index", "_new_Index"),
    "pandas.core.indexes.range": ("RangeIndex",),
    "pandas.core.internals.managers": ("BlockManager",),
    "numpy": ("dtype", "ndarray"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "pyarrow.lib": ("_restore_array", "py_buffer", "type_for_alias"),
}
_ALLOWED = {(module, name) for module, names in _LIBRARIES.items() for name in names}
_ALLOWED |= {("builtins", name) for name in _BUILTINS} | {("_codecs", "encode")}
_OLD_MODULES = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}
_OLD_NAMES = {
    ("pandas.core.indexes.numeric", "Int64Index"): ("pandas.core.indexes.base", "Index"),
    ("pandas.core.internals.blocks", "new_block"): ("pandas._libs.internals", "_unpickle_block"),
}
"""Where pandas and numpy now keep what files of older versions name; pandas from 1.3 on can be read."""

_FAILURES = (
    *(pickle.UnpicklingError, EOFError, OSError, ImportError, MemoryError, BufferError, AssertionError),
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
)
"""How the constructors may fail on a torn or foreign stream."""


class _TableUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        place = _OLD_NAMES.get((module, name), (_OLD_MODULES.get(module, module), name))
        if place not in _ALLOWED:
            raise DataError(
                f"asks for {module}.{name}, which no table needs: it was not run",
                remedy="do not open this file elsewhere unless you trust its author",
            )
        return getattr(importlib.import_module(place[0]), place[1])


def read_pickled_table(path: Path) -> Table:
    """Rows of a pickled pandas table or list of dictionaries.

    A table's row labels become ``sample_index``, where they are different whole numbers.

    Raises:
        DataError: the file is not there, torn, holds something else, or asks for a name that is not allowed.
    """
    content = _unpickle(path)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        rows = content
    elif type(content).__module__.startswith("pandas") and type(content).__name__ == "DataFrame":
        rows = _frame_rows(content, path)
    else:
        raise DataError(
            f"holds no table with rows but a {type(content).__name__}",
            where=path,
            remedy="expected a pandas DataFrame or a list of dictionaries",
        )
    return Table(path.stem, tuple(Row(row, f"{path}, row {number}") for number, row in enumerate(rows)))


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _TableUnpickler(file).load()
    except DataError as error:
        raise DataError(error.what, where=path, remedy=error.remedy) from None
    except FileNotFoundError:
        raise DataError("is not there", where=path, remedy="check the path") from None
    except _FAILURES as error:
        what = f"is torn or no pickle of a table ({type(error).__name__}: {error})"
        raise DataError(what, where=path) from None


def _frame_rows(frame: Any, path: Path) -> list[dict[str, Any]]:
    import pyarrow

    try:
        for column in frame:
            if hasattr(frame[column].array, "__arrow_array__"):
                # Arrow trusts the lengths and offsets that the pickle states, until they are checked.
                frame[column].array.__arrow_array__().validate(full=True)
        rows: list[dict[str, Any]] = frame.to_dict("records")
    except (pyarrow.ArrowException, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"is a damaged table: {error}", where=path) from None
    labels = frame.index.tolist()
    numbered = all(type(label) is int for label in labels) and len(set(labels)) == len(labels)
    if numbered and "sample_index" not in frame:
        return [{"sample_index": label, **row} for label, row in zip(labels, rows, strict=True)]
    return rows
