"""Tasks that `select` chose, and how tasks bear on each other's losses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.artifacts.subset_lists import read_subsets
from finetune_cot.reporting.charts import HeatChart, ScoreChart, ScoreRow
from finetune_cot.reporting.findings import Selection, SubsetResults
from finetune_cot.reporting.tables import Table, Value, table

SELECTIONS = "sampled_indices/*_selected_*.txt"
MAX_HEAT_TASKS = 60
"""Tasks of a heatmap; more could not be told apart."""


@dataclass(frozen=True)
class Affinity:
    """How the loss of each task is with another in the subset."""

    name: str
    """Folder of the losses under ``results``."""
    tasks: tuple[str, ...]
    subsets: int
    losses: Float[ndarray, "tasks tasks"]
    """Mean loss of task i (row) over subsets with i and j (column), nats a token; NaN where none has both."""
    scores: Float[ndarray, " tasks"]
    """Mean over the tasks' losses and the subsets that hold a task, nats a token; NaN where none does."""
    overall: float
    """The same over all subsets."""


def read_selection(path: Path) -> Selection:
    """A list that `select` wrote.

    Raises:
        DataError: it is missing, empty, or holds no subsets.
    """
    gradients, _, how = path.stem.partition("_selected_")
    return Selection(path.stem, gradients, how, tuple(read_subsets(path)))


def selection_table(selections: Iterable[Selection], tasks_of: Mapping[str, Sequence[str]]) -> Table:
    """Every selection with its tasks.

    Args:
        selections: What was chosen.
        tasks_of: Names of the tasks, by the name of the gradients.
    """
    rows: list[list[Value]] = []
    for item in selections:
        names = tasks_of.get(item.gradients, ())
        for number, subset in enumerate(item.subsets):
            named = ", ".join(names[task] if task < len(names) else str(task) for task in subset)
            numbers = " ".join(map(str, subset))
            rows.append([item.gradients, _told(item.how, names), number, len(subset), named, numbers])
    columns = ["gradients", "how", "group", "size", "tasks", "task_idxes"]
    return table(
        "selected_tasks",
        columns,
        rows,
        headings=["gradients", "chosen by", "group", "tasks", "names", "numbers"],
        notes=["To train on one of them, give its numbers to ftcot train --task-idxes."],
    )


def _told(how: str, names: Sequence[str]) -> str:
    """The way of choosing, with the name of the target task instead of its number."""
    way, _, target = how.partition("_for_")
    known = target.isdecimal() and int(target) < len(names)
    return f"{way}, for {names[int(target)]}" if known else how


def task_names(results: Iterable[SubsetResults]) -> dict[str, tuple[str, ...]]:
    """Names of the tasks whose losses a table holds, by the table; numbers of tasks follow this order."""
    return {
        item.name: tuple(sorted({task for row in item.rows for task in row.loss_by_task})) for item in results
    }


def affinity_chart(affinity: Affinity) -> HeatChart:
    """Each task's loss with another in the subset, against the mean of its row."""
    values = affinity.losses - np.nanmean(
        np.where(np.eye(len(affinity.tasks), dtype=bool), np.nan, affinity.losses), axis=1, keepdims=True
    )
    np.fill_diagonal(values, np.nan)
    return HeatChart(
        name=f"affinity_{affinity.name}",
        title=f"Task affinity: {affinity.name}",
        x_label=f"with this task in the subset ({affinity.subsets} subsets)",
        y_label="loss of this task",
        value_label="nats a token, against the row's mean",
        rows=affinity.tasks,
        columns=affinity.tasks,
        values=tuple(tuple(_known(value) for value in row) for row in values.tolist()),
    )


def affinity_table(affinity: Affinity) -> Table:
    """The mean losses themselves."""
    return table(
        f"affinity_{affinity.name}",
        ["task", *affinity.tasks],
        (
            [task, *map(_known, row)]
            for task, row in zip(affinity.tasks, affinity.losses.tolist(), strict=True)
        ),
    )


def ensemble_table(affinity: Affinity) -> Table:
    """Each task's score in the random ensemble, the best first."""
    order = np.argsort(affinity.scores, kind="stable").tolist()
    differences = affinity.scores - affinity.overall
    return table(
        f"ensemble_{affinity.name}",
        ["task", "score", "against_all"],
        (
            [affinity.tasks[place], _known(affinity.scores[place]), _known(differences[place])]
            for place in order
        ),
        headings=["task", "mean loss with it", "against all subsets"],
        notes=[
            f"Random ensemble: the mean over the tasks' losses, nats a token, over those of the"
            f" {affinity.subsets} subsets that hold a task; below 0 the task helps.",
        ],
    )


def ensemble_chart(affinity: Affinity) -> ScoreChart:
    """The same as bars to both sides of the mean over all subsets."""
    order = np.argsort(affinity.scores, kind="stable").tolist()
    differences = affinity.scores - affinity.overall
    return ScoreChart(
        name=f"ensemble_{affinity.name}",
        title=f"Random ensemble: {affinity.name}",
        x_label="Mean loss over the subsets with a task, minus that over all (nats a token); left is better"
        f"\nn = {affinity.subsets} subsets",
        series=(affinity.name,),
        rows=tuple(ScoreRow(affinity.tasks[place], (_known(differences[place]),)) for place in order),
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
