"""The bundled tasks by key, their samples, and the data sets made of them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
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
        count_per_task: Samples of each task; by default 120 of every task, or 300 of a single one.
        seed: What the problems are drawn from.

    Raises:
        UsageError: there is no such data set.
        DataError: a task has fewer different questions.
    """
    source = f"generated from seed {seed}"
    if key != ALL_TASKS:
        task_key = key.removeprefix(_PREFIX)
        samples = generate_samples(task_key, 300 if count_per_task is None else count_per_task, seed)
        return Dataset(key, samples, source, {task_key: procedural_tasks()[task_key].answer_format})
    tasks = procedural_tasks()
    columns = [
        generate_samples(task, 120 if count_per_task is None else count_per_task, seed) for task in tasks
    ]
    turns = (sample for turn in zip(*columns, strict=True) for sample in turn)
    samples = tuple(replace(sample, sample_index=index) for index, sample in enumerate(turns))
    return Dataset(key, samples, source, {key: task.answer_format for key, task in tasks.items()})
