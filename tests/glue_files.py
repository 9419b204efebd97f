"""Small tasks of GLUE as files, whose labels a few words decide."""

import json
from pathlib import Path
from typing import Any

SST2 = ("good", "fine", "glad"), ("bad", "poor", "sad")
SCHEMAS = {
    "cola": (("sentence",), 2),
    "sst2": (("sentence",), 2),
    "mrpc": (("sentence1", "sentence2"), 2),
    "qqp": (("question1", "question2"), 2),
    "stsb": (("sentence1", "sentence2"), 1),
    "mnli": (("premise", "hypothesis"), 3),
    "qnli": (("question", "sentence"), 2),
    "rte": (("sentence1", "sentence2"), 2),
    "wnli": (("sentence1", "sentence2"), 2),
}
"""Columns with text of GLUE's tasks, and how many labels they have."""
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
    "mnli": lambda number: {
        "premise": f"Ann has {number} apples.",
        "hypothesis": f"Ann has {('apples', 'fruit', 'pears')[number % 3]}.",
        "label": number % 3,
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


def write_hub_copy(folder: Path, tasks: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """The hub's repository of GLUE, as `datasets` finds it in the working folder: rows by task and part."""
    repository = folder / "nyu-mll" / "glue"
    described = "---\nconfigs:\n"
    for task, parts in tasks.items():
        (repository / task).mkdir(parents=True)
        described += f"- config_name: {task}\n  data_files:\n"
        for part, rows in parts.items():
            write_rows(repository / task / f"{part}.jsonl", rows)
            described += f"  - split: {part}\n    path: {task}/{part}.jsonl\n"
    (repository / "README.md").write_text(f"{described}---\n")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
