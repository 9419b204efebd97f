"""The folder outside ``saved/`` for what is made once and can be made again."""

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """``$FTCOT_CACHE_DIR``, or ``ftcot`` in the system's cache folder: converted models, a page's scripts."""
    if os.environ.get("FTCOT_CACHE_DIR"):
        return Path(os.environ["FTCOT_CACHE_DIR"]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ftcot"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "ftcot" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ftcot"
