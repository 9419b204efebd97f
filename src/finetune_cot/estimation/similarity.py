"""Scores of subsets by how alike the gradients of training and dev samples are."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.estimation.estimates import Estimates, EstimatorSettings
from finetune_cot.estimation.features import Features, Subset, task_means, unit_rows
from finetune_cot.estimation.subset_matrix import subset_matrix


def cosine(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Mean cosine of the gradients of single samples, at the last point, as in LESS (Xia et al. 2024)."""
    return _additive(features.train.directions @ features.dev.directions.T, subsets, "cosine")


def inner_product(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Mean inner product of the gradients of single samples, at the last point."""
    return _additive(features.train.means[-1] @ features.dev.means[-1].T, subsets, "inner-product")


def task_cosine(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Cosine of the mean gradients of tasks, summed over the points of the meta-training."""
    return _additive(np.sum(task_cosines(features), axis=0), subsets, "task-cosine")


def subset_cosine(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Cosine of the mean gradient of a subset and of a target task, summed over the points."""
    tasks = len(features.tasks)
    counts = np.bincount(features.train_task, minlength=tasks)
    weights = subset_matrix(subsets, tasks) * counts
    scores = np.zeros((len(subsets), tasks))
    for point in range(features.points):
        train, dev = _task_gradients(features, point)
        scores += unit_rows(weights @ np.nan_to_num(train)) @ unit_rows(dev).T
    return Estimates(-scores, "subset-cosine", is_loss=False)


def trak(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Inner products whitened by the training samples' second moment at the last point (Park et al. 2023)."""
    train, targets = features.train_rows(features.points - 1), np.nan_to_num(features.dev.means[-1])
    whole, tasks = float(np.sum(train**2, dtype=np.float64)), len(features.tasks)
    ridge = settings.ridge * whole / len(train)
    if len(train) < train.shape[1]:
        # By Woodbury, train (train' train + ridge)^-1 = (train train' + ridge)^-1 train, which is smaller.
        train = train.astype(np.float64)
        means = task_means(_ridge_solve(train @ train.T, ridge, train), features.train_task, tasks)
    else:
        means = features.train.means[-1]
        targets = _ridge_solve((train.T @ train).astype(np.float64), ridge, targets.T).T
    return _additive(means @ targets.T, subsets, "trak")


def task_cosines(features: Features) -> list[Float[ndarray, "train_tasks tasks"]]:
    """At each point, minus the cosine of the mean gradients of tasks: of training, and of the dev loss.

    Both are told as how a loss changes, so that what helps is below zero.
    """
    found = []
    for point in range(features.points):
        train, dev = _task_gradients(features, point)
        found.append(-unit_rows(np.nan_to_num(train)) @ unit_rows(dev).T)
    return found


def _task_gradients(
    features: Features, point: int
) -> tuple[Float[ndarray, "tasks proj"], Float[ndarray, "tasks proj"]]:
    """Mean gradients that raise the training margins, and that lower the dev losses."""
    return features.train.means[point], -features.dev.means[point]


def _additive(
    values: Float[ndarray, "train_tasks tasks"], subsets: Sequence[Subset], method: str
) -> Estimates:
    """The mean over a subset's tasks of what each adds to a target's loss."""
    held = subset_matrix(subsets, len(values)).astype(np.float64)
    held /= np.maximum(held.sum(axis=1, keepdims=True), 1)
    return Estimates(held @ np.nan_to_num(values), method, is_loss=False)


def _ridge_solve(moment: ndarray, ridge: float, wanted: ndarray) -> ndarray:
    moment.flat[:: len(moment) + 1] += ridge
    solved: ndarray = scipy.linalg.solve(moment, wanted, assume_a="pos", overwrite_a=True)
    return solved
