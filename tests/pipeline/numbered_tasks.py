"""Four small tasks as instruction data, for tests that train on subsets of them."""

import json
from collections.abc import Sequence
from pathlib import Path


def write_tasks(path: Path, further: Sequence[dict[str, str]] = ()) -> Path:
    """Eight samples of each task, and further rows after them."""
    rows = [
        {"prompt": f"{task} {number}\n", "completion": f"{number * factor}", "skill": task}
        for factor, task in enumerate(("double", "once", "triple", "zero"), start=1)
        for number in range(8)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *further]))
    return path
