"""Small tasks of GLUE as files, whose labels a few words decide."""

import json
from pathlib import Path
from typing import Any

SST2 = ("good", "fine", "glad"), ("bad", "poor", "sad")
ROWS = {
    "sst2": lambda number: {
        "sentence": f"the {SST2[1 - number % 2][number // 2 % 3]} apples of Bob {number}",
        "label": number % 2,
    },
    "rte": lambda number: {
        "sentence1": f"Ann has {number} apples.",
        "sentence2": f"Ann has {'apples' if number % 2 == 0 else 'pears'}.",
        "label": number % 2,
    },
    "stsb": lambda number: {
        "sentence1": f"Ann has {number} apples.",
        "sentence2": f"Ann has {'apples' if number % 2 == 0 else 'pears'}.",
        "label": 1.0 + number % 2 * 3.5,
    },
}


def write_glue(data_dir: Path, tasks: tuple[str, ...], train: int = 16, validation: int = 8) -> Path:
    """Files of some tasks, of so many samples."""
    for task in tasks:
        folder = data_dir / "glue" / task
        folder.mkdir(parents=True)
        for part, first, count in (("train", 0, train), ("validation", 1000, validation)):
            rows = [ROWS[task](first + number) | {"idx": number} for number in range(count)]
            write_rows(folder / f"{part}.jsonl", rows)
    return data_dir


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
