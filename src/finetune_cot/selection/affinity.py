"""Task affinity, and groups of tasks that do each other good (EnsembleLoRA, ACL 2025)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.selection.subsets import Subset, indicators


def task_affinity(
    subsets: Sequence[Subset], losses: Float[ndarray, "subsets tasks"]
) -> Float[ndarray, "tasks tasks"]:
    """Mean loss of task i (row) over the subsets that hold i and j (column), nats a token; lower is better.

    Args:
        subsets: Random subsets.
        losses: Estimated losses of every task for each of them.

    Returns:
        Affinities; on the diagonal the mean over the subsets that hold i; NaN where no subset holds both.

    Raises:
        UsageError: there are no subsets, or losses are not those of these subsets, or not numbers.
    """
    if not subsets or len(subsets) != len(losses):
        raise UsageError(f"{len(losses)} losses cannot be those of {len(subsets)} subsets")
    held = indicators(subsets, losses.shape[1])
    own = np.where(held > 0, losses, 0.0)  # a task's loss may be missing where it is not trained on
    if not np.isfinite(own).all():
        row, task = np.argwhere(~np.isfinite(own))[0]
        raise UsageError(f"the loss of task {task} in subset {row} is no finite number")
    together = held.T @ held
    affinity: Float[ndarray, "tasks tasks"] = np.divide(
        own.T @ held, together, out=np.full_like(together, np.nan), where=together > 0
    )
    return affinity


def similarity(affinity: Float[ndarray, "tasks tasks"]) -> Float[ndarray, "tasks tasks"]:
    """A symmetric similarity above 0, higher for tasks that lower each other's losses.

    Each row is standardized over the other tasks, since tasks differ in how high their losses are and how
    much they vary; the two directions are averaged, z, and exp(-z) is the similarity. Unknown pairs are
    neither similar nor dissimilar, z = 0.
    """
    others = np.where(np.eye(len(affinity), dtype=bool), np.nan, affinity)
    known = np.isfinite(others)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, others - np.where(known, others, 0).sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    z = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    similar: Float[ndarray, "tasks tasks"] = np.exp(-(z + z.T) / 2)
    np.fill_diagonal(similar, similar.max())
    return similar


def group_tasks(
    affinity: Float[ndarray, "tasks tasks"], number: int | None = None, seed: int = 0
) -> Int[ndarray, " tasks"]:
    """Spectral clustering of the tasks by their affinity.

    Args:
        affinity: Of `task_affinity`.
        number: Groups; None for as many as the largest gap between the Laplacian's eigenvalues tells.
        seed: Of the clustering's random start.

    Returns:
        Group of each task; groups are numbered by their first task, from 0.

    Raises:
        UsageError: there are not so many tasks.
    """
    from sklearn.cluster import SpectralClustering

    tasks = len(affinity)
    similar = similarity(affinity)
    groups = number if number is not None else _eigengap(similar)
    if not 1 <= groups <= tasks:
        raise UsageError(f"{tasks} tasks cannot be divided into {groups} groups")
    if groups == tasks:
        return np.arange(tasks)
    if groups == 1:
        return np.zeros(tasks, dtype=int)
    clustering = SpectralClustering(groups, affinity="precomputed", random_state=seed)
    labels = clustering.fit_predict(similar)
    first = {label: place for place, label in enumerate(dict.fromkeys(labels.tolist()))}
    return np.array([first[label] for label in labels.tolist()])


def _eigengap(similar: Float[ndarray, "tasks tasks"]) -> int:
    """Number of groups before the largest gap in the spectrum of the normalized Laplacian."""
    tasks = len(similar)
    if tasks < 3:
        return 1
    scale = 1 / np.sqrt(similar.sum(axis=1))
    values = np.linalg.eigvalsh(np.eye(tasks) - similar * scale[:, None] * scale[None, :])
    # The first gap only says that the graph is connected, which it always is.
    return int(np.argmax(np.diff(values)[1 : tasks // 2 + 1])) + 2
