"""Features of tasks with planted gradients, for tests."""

import numpy as np

from finetune_cot.estimation.features import Features


def features(
    *,
    tasks: int = 6,
    per_task: int = 5,
    dev_per_task: int = 3,
    proj: int = 12,
    points: int = 2,
    seed: int = 0,
) -> Features:
    """Tasks whose samples share a direction, so that some help and some harm each other."""
    random = np.random.default_rng(0)
    directions = random.normal(size=(tasks, proj))
    train_task = np.repeat(np.arange(tasks), per_task)
    dev_task = np.repeat(np.arange(tasks), dev_per_task)

    def samples(of_task: np.ndarray, sign: float) -> np.ndarray:
        noise = random.normal(size=(points, len(of_task), proj))
        return (sign * directions[of_task] + 0.2 * noise).astype(np.float32)

    return Features(
        tasks=tuple(f"task_{number}" for number in range(tasks)),
        train=samples(train_task, 1.0),
        train_task=train_task,
        train_margins=random.normal(size=(points, len(train_task))),
        dev=samples(dev_task, -1.0),
        dev_task=dev_task,
        dev_losses=random.uniform(1, 2, size=(points, len(dev_task))),
        weight_norms=np.ones(points),
        parameters=1000,
    )
