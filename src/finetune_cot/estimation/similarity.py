"""Scores of subsets by how alike the gradients of training and dev samples are."""

from collections.abc import Sequence

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.estimation.estimates import Estimates, EstimatorSettings
from finetune_cot.estimation.features import Features, Subset, task_means
from finetune_cot.estimation.subset_matrix import subset_matrix


def cosine(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Mean cosine of the gradients of single samples, at the last point, as in LESS (Xia et al. 2024)."""
    tasks = len(features.tasks)
    train = task_means(_unit(features.train[-1]), features.train_task, tasks)
    dev = task_means(_unit(features.dev[-1]), features.dev_task, tasks)
    return _additive(train @ dev.T, subsets, "cosine")


def inner_product(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Mean inner product of the gradients of single samples, at the last point."""
    return _additive(_products(features, len(features.train) - 1), subsets, "inner-product")


def task_cosine(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Cosine of the mean gradients of tasks, summed over the points of the meta-training."""
    return _additive(np.sum(task_cosines(features), axis=0), subsets, "task-cosine")


def subset_cosine(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Cosine of the mean gradient of a subset and of a target task, summed over the points."""
    tasks = len(features.tasks)
    counts = np.bincount(features.train_task, minlength=tasks)
    weights = subset_matrix(subsets, tasks) * counts
    scores = np.zeros((len(subsets), tasks))
    for point in range(len(features.train)):
        train, dev = _task_gradients(features, point)
        scores += _unit(weights @ np.nan_to_num(train)) @ _unit(dev).T
    return Estimates(-scores, "subset-cosine", is_loss=False)


def trak(features: Features, subsets: Sequence[Subset], settings: EstimatorSettings) -> Estimates:
    """Inner products whitened by the training samples' second moment at the last point (Park et al. 2023)."""
    tasks = len(features.tasks)
    train, dev = features.train[-1].astype(np.float64), features.dev[-1]
    ridge = settings.ridge * float(np.sum(train**2)) / len(train)
    targets = task_means(dev, features.dev_task, tasks)
    if len(train) < train.shape[1]:
        # By Woodbury, train (train' train + ridge)^-1 = (train train' + ridge)^-1 train, which is smaller.
        train = _ridge_solve(train @ train.T, ridge, train)
    else:
        targets = _ridge_solve(train.T @ train, ridge, np.nan_to_num(targets).T).T
    scores = task_means(train, features.train_task, tasks) @ targets.T
    return _additive(scores, subsets, "trak")


def task_cosines(features: Features) -> list[Float[ndarray, "train_tasks tasks"]]:
    """At each point, minus the cosine of the mean gradients of tasks: of training, and of the dev loss.

    Both are told as how a loss changes, so that what helps is below zero.
    """
    found = []
    for point in range(len(features.train)):
        train, dev = _task_gradients(features, point)
        found.append(-_unit(np.nan_to_num(train)) @ _unit(dev).T)
    return found


def _products(features: Features, point: int) -> Float[ndarray, "train_tasks tasks"]:
    tasks = len(features.tasks)
    train = task_means(features.train[point], features.train_task, tasks)
    dev = task_means(features.dev[point], features.dev_task, tasks)
    products: Float[ndarray, "train_tasks tasks"] = train @ dev.T
    return products


def _task_gradients(
    features: Features, point: int
) -> tuple[Float[ndarray, "tasks proj"], Float[ndarray, "tasks proj"]]:
    """Mean gradients that raise the training margins, and that lower the dev losses."""
    tasks = len(features.tasks)
    train = task_means(features.train[point], features.train_task, tasks)
    return train, -task_means(features.dev[point], features.dev_task, tasks)


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


def _unit(values: Float[ndarray, "rows proj"]) -> Float[ndarray, "rows proj"]:
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    unit: Float[ndarray, "rows proj"] = np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)
    return unit
