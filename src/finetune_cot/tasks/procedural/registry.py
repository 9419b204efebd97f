"""The bundled tasks by key, their samples, and the data sets made of them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from types import MappingProxyType

from finetune_cot.errors import UsageError
from finetune_cot.tasks.procedural import (
    arithmetic,
    counting,
    dates,
    logic,
    ordering,
    sequences,
    symbols,
    tracking,
    units,
    word_problems,
)
from finetune_cot.tasks.procedural.generation import different_problems
from finetune_cot.tasks.procedural.problem import ProceduralTask
from finetune_cot.tasks.sample import Dataset, Sample

ALL_TASKS = "bundled"
"""Key of the data set of all tasks."""

_PREFIX = f"{ALL_TASKS}_"


@cache
def procedural_tasks() -> Mapping[str, ProceduralTask]:
    """Every bundled task by its key, family after family."""
    families = (
        word_problems,
        arithmetic,
        sequences,
        units,
        ordering,
        counting,
        symbols,
        tracking,
        dates,
        logic,
    )
    return MappingProxyType({task.key: task for family in families for task in family.TASKS})


def generate_samples(task_key: str, count: int, seed: int = 0, start_index: int = 0) -> tuple[Sample, ...]:
    """Samples ``start_index`` to ``start_index + count - 1`` of a task's sequence for a seed.

    Raises:
        UsageError: there is no such task.
        DataError: the task has fewer different questions.
    """
    task = procedural_tasks().get(task_key)
    if task is None:
        raise UsageError(
            f"there is no bundled task {task_key!r}", remedy=f"choose one of: {', '.join(procedural_tasks())}"
        )
    problems = different_problems(task, start_index + count, seed)[start_index:]
    return tuple(
        Sample(index, problem.question, problem.answer, task_key, problem.rationale)
        for index, problem in enumerate(problems, start=start_index)
    )


def bundled_keys() -> list[str]:
    """Keys of the bundled data sets: all tasks together, and each alone."""
    return [ALL_TASKS, *(_PREFIX + key for key in procedural_tasks())]


def is_bundled(key: str) -> bool:
    """Whether the key is that of a bundled data set."""
    return key in bundled_keys()


def bundled_dataset(key: str, count_per_task: int | None = None, seed: int = 0) -> Dataset:
    """A bundled data set.

    In the one of all tasks, the tasks take turns: sample ``i`` belongs to the task at ``i`` modulo their
    number, and a larger count adds samples at the end.

    Args:
        key: ``bundled`` or ``bundled_<task>``.
        count_per_task: Samples of each task; by default 30 of every task, or 300 of a single one.
        seed: What the problems are drawn from.

    Raises:
        UsageError: there is no such data set.
        DataError: a task has fewer different questions.
    """
    if not is_bundled(key):
        raise UsageError(
            f"there is no bundled data set {key!r}", remedy=f"choose one of: {', '.join(bundled_keys())}"
        )
    together = key == ALL_TASKS
    tasks = {
        task_key: task
        for task_key, task in procedural_tasks().items()
        if together or key == _PREFIX + task_key
    }
    count = (30 if together else 300) if count_per_task is None else count_per_task
    rounds = zip(*(generate_samples(task_key, count, seed) for task_key in tasks), strict=True)
    samples = tuple(
        replace(sample, sample_index=index) for index, sample in enumerate(chain.from_iterable(rounds))
    )
    formats = {task_key: task.answer_format for task_key, task in tasks.items()}
    return Dataset(key, samples, f"generated from seed {seed}", formats)
