"""Draws different problems of a task, the same ones however many are asked for."""

from random import Random

from finetune_cot.errors import DataError
from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask

MAX_DRAWS = 1000
"""Draws for one problem before the task counts as exhausted."""


def different_problems(task: ProceduralTask, count: int, seed: int) -> list[Problem]:
    """The first problems of the task's sequence for a seed, no question twice.

    Every problem has a random generator of its own, and gives way only to those before it.

    Raises:
        DataError: the task has fewer different questions.
    """
    problems: dict[str, Problem] = {}
    for index in range(count):
        rng = Random(f"{seed}/{task.key}/{index}")
        for _ in range(MAX_DRAWS):
            problem = task.generate(rng)
            if problem.question not in problems:
                problems[problem.question] = problem
                break
        else:
            raise DataError(
                f"{task.key} has only {index} different questions, not {count}",
                where="bundled tasks",
                remedy="ask for fewer samples",
            )
    return list(problems.values())
