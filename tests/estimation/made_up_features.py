"""Features of tasks with planted gradients, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune_cot.estimation.features import Features, TaskGradients, task_means, unit_rows


@dataclass(frozen=True)
class MadeUp:
    """Gradients sample by sample, from which features are made."""

    train: np.ndarray
    """``[points, train, proj]``."""
    train_task: np.ndarray
    train_margins: np.ndarray
    dev: np.ndarray
    """``[points, dev, proj]``."""
    dev_task: np.ndarray
    dev_losses: np.ndarray

    def features(self, points: Sequence[int] | None = None) -> Features:
        """What estimators work on, at some of the points."""
        chosen = list(range(len(self.train)) if points is None else points)
        tasks = int(self.train_task.max()) + 1

        def of_tasks(rows: np.ndarray, task: np.ndarray) -> TaskGradients:
            means = np.stack([task_means(of_point, task, tasks) for of_point in rows[chosen]])
            return TaskGradients(means, task_means(unit_rows(rows[chosen[-1]]), task, tasks))

        return Features(
            tasks=tuple(f"task_{number}" for number in range(tasks)),
            train_rows=lambda point: self.train[chosen[point]],
            train_task=self.train_task,
            train_margins=self.train_margins[chosen],
            train=of_tasks(self.train, self.train_task),
            dev=of_tasks(self.dev, self.dev_task),
            dev_losses=task_means(self.dev_losses[chosen].T, self.dev_task, tasks).T,
            weight_norms=np.ones(len(chosen)),
            parameters=1000,
        )


def made_up(
    *, tasks: int = 6, per_task: int = 5, dev_per_task: int = 3, proj: int = 12, points: int = 2
) -> MadeUp:
    """Tasks whose samples share a direction, so that some help and some harm each other."""
    random = np.random.default_rng(0)
    directions = random.normal(size=(tasks, proj))
    train_task = np.repeat(np.arange(tasks), per_task)
    dev_task = np.repeat(np.arange(tasks), dev_per_task)

    def samples(of_task: np.ndarray, sign: float) -> np.ndarray:
        noise = random.normal(size=(points, len(of_task), proj))
        return (sign * directions[of_task] + 0.2 * noise).astype(np.float32)

    return MadeUp(
        train=samples(train_task, 1.0),
        train_task=train_task,
        train_margins=random.normal(size=(points, len(train_task))),
        dev=samples(dev_task, -1.0),
        dev_task=dev_task,
        dev_losses=random.uniform(1, 2, size=(points, len(dev_task))),
    )


def features(*, points: int = 2) -> Features:
    """Features of six such tasks."""
    return made_up(points=points).features()
