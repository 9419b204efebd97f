"""Estimates calibrated on a few true runs: signals combined, then brought to the losses' level and scale.

Losses are taken as logarithms: they differ by factors, and errors are told as shares of them. Every signal is
told in standard deviations over the subsets, by target task, and so are the measured log losses; a ridge
regression that all target tasks share weighs the signals. What it leaves may be fitted further, task by task,
by an additive datamodel (Ilyas et al. 2022) on which tasks a subset holds. Both penalties are chosen by
cross-validation on the measured subsets alone.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.estimation.estimates import Estimates, EstimatorSettings
from finetune_cot.estimation.features import Features, Subset
from finetune_cot.estimation.registry import ESTIMATORS
from finetune_cot.estimation.similarity import task_cosines
from finetune_cot.estimation.subset_matrix import subset_matrix

LEAST_RUNS = 4
"""Fewer true runs tell neither level nor scale."""
_SHARED = (1.0, 10.0, 100.0)
_OWN = (0.3, 1.0, 3.0, 10.0, np.inf)
"""Penalties that are tried; without end, there is no datamodel of a task's own."""
_FOLDS = 5
_LEAST_LOSS = 1e-12
"""Nats a token; a loss of zero has no logarithm."""


@dataclass(frozen=True)
class Calibrated:
    """Calibrated estimates, and what they came of."""

    estimates: Estimates
    weights: Mapping[str, float]
    """Weight of each signal, in standard deviations of the log loss."""
    error: float
    """Root mean square error in cross-validation, in standard deviations of the log loss."""


def signals(
    features: Features, subsets: Sequence[Subset], settings: EstimatorSettings
) -> dict[str, Float[ndarray, "subsets tasks"]]:
    """What is combined: membership, task cosines at each point, and GradEx; the lower, the better."""
    held = subset_matrix(subsets, len(features.tasks)).astype(float)
    share = held / np.maximum(held.sum(axis=1, keepdims=True), 1)
    found = {"membership": -held}
    for point, values in enumerate(task_cosines(features)):
        found[f"task-cosine {point}"] = share @ np.nan_to_num(values)
    for name in ("subset-cosine", "gradex"):
        found[name] = ESTIMATORS[name](features, subsets, settings).losses
    return found


def calibrate(
    given: Mapping[str, Float[ndarray, "subsets tasks"]],
    subsets: Sequence[Subset],
    measured: Int[ndarray, " runs"],
    losses: Float[ndarray, "runs tasks"],
    method: str = "calibrated",
) -> Calibrated:
    """Combine signals to losses, by the true runs of some of the subsets.

    Args:
        given: Signals of all subsets, by name.
        subsets: All subsets.
        measured: Places of the subsets that were really trained on.
        losses: Their dev losses, nats a token; NaN for a task that was not measured, which stays NaN.
        method: Name of the estimates.

    Raises:
        UsageError: there are too few true runs.
    """
    if len(measured) < LEAST_RUNS:
        raise UsageError(
            f"{len(measured)} true runs are too few to calibrate on",
            where="--calibrate",
            remedy=f"give at least {LEAST_RUNS}, and measure them with `ftcot sample-truth`",
        )
    problem = _problem(given, subsets, measured, losses)
    penalties = min(itertools.product(_SHARED, _OWN), key=lambda tried: _error(problem, *tried))
    deviation = np.sqrt(np.mean(_left_out(problem, *penalties) ** 2, axis=0)) * problem.spread
    everything = np.arange(len(measured))
    weights = _weights(problem.signals[measured], problem.wanted, penalties[0])
    found = _losses(problem, _fit(problem, everything, *penalties))
    return Calibrated(
        Estimates(found, method, is_loss=True, std=found * deviation),
        dict(zip(given, weights.tolist(), strict=True)),
        _error(problem, *penalties) ** 0.5,
    )


def datamodel(
    subsets: Sequence[Subset], measured: Int[ndarray, " runs"], losses: Float[ndarray, "runs tasks"]
) -> Estimates:
    """The additive datamodel alone: losses by which tasks a subset holds, fitted to the true runs."""
    nothing = {"nothing": np.zeros((len(subsets), losses.shape[1]))}
    problem = _problem(nothing, subsets, measured, losses)
    own = min((own for own in _OWN if np.isfinite(own)), key=lambda tried: _error(problem, 1.0, tried))
    found = _fit(problem, np.arange(len(measured)), 1.0, own)
    return Estimates(_losses(problem, found), "datamodel", is_loss=True)


@dataclass(frozen=True)
class _Problem:
    """Signals of all subsets, and the losses of those that were measured."""

    signals: Float[ndarray, "subsets tasks signals"]
    """In standard deviations over all subsets, by target task."""
    held: Float[ndarray, "subsets tasks"]
    measured: Int[ndarray, " runs"]
    wanted: Float[ndarray, "runs tasks"]
    """Log losses in standard deviations over the measured subsets, by target task."""
    known: Bool[ndarray, " tasks"]
    """Tasks that were measured; the others' columns are zero."""
    level: Float[ndarray, " tasks"]
    spread: Float[ndarray, " tasks"]


def _problem(
    given: Mapping[str, Float[ndarray, "subsets tasks"]],
    subsets: Sequence[Subset],
    measured: Int[ndarray, " runs"],
    losses: Float[ndarray, "runs tasks"],
) -> _Problem:
    if len(measured) < LEAST_RUNS:
        raise UsageError(
            f"{len(measured)} true runs are too few to calibrate on",
            where="--calibrate",
            remedy=f"give at least {LEAST_RUNS}, and measure them with `ftcot sample-truth`",
        )
    signals = np.stack([_standard(values) for values in given.values()], axis=-1)
    held = subset_matrix(subsets, losses.shape[1]).astype(float)
    known = np.isfinite(losses).all(axis=0)
    logs = np.log(np.where(known, np.maximum(losses, _LEAST_LOSS), 1.0))
    level, spread = logs.mean(axis=0), logs.std(axis=0, ddof=1)
    wanted = (logs - level) / np.where(spread > 0, spread, 1.0)
    return _Problem(signals, held, measured, wanted, known, level, spread)


def _losses(problem: _Problem, fitted: Float[ndarray, "subsets tasks"]) -> Float[ndarray, "subsets tasks"]:
    """Nats a token, of what was fitted in standard deviations."""
    return np.where(problem.known, np.exp(problem.level + fitted * problem.spread), np.nan)


def _standard(values: Float[ndarray, "subsets tasks"]) -> Float[ndarray, "subsets tasks"]:
    centred: Float[ndarray, "subsets tasks"] = values - values.mean(axis=0)
    spread = values.std(axis=0)
    return centred / np.where(spread > 0, spread, 1.0)


def _weights(
    chosen: Float[ndarray, "runs tasks signals"], wanted: Float[ndarray, "runs tasks"], penalty: float
) -> Float[ndarray, " signals"]:
    """Ridge regression that all tasks share."""
    design = chosen.reshape(-1, chosen.shape[-1])
    gram = design.T @ design + penalty * np.eye(design.shape[1])
    return np.linalg.solve(gram, design.T @ wanted.reshape(-1))


def _fit(
    problem: _Problem, runs: Int[ndarray, " runs"], shared: float, own: float
) -> Float[ndarray, "subsets tasks"]:
    """Fitted losses of all subsets by some of the runs, in standard deviations."""
    measured, wanted = problem.measured[runs], problem.wanted[runs]
    fitted: Float[ndarray, "subsets tasks"] = problem.signals @ _weights(
        problem.signals[measured], wanted, shared
    )
    left = wanted - fitted[measured]
    fitted = fitted + left.mean(axis=0)
    if np.isfinite(own):
        centre = problem.held[measured].mean(axis=0)
        design = problem.held[measured] - centre
        # By the small matrix: there are hardly more runs than tasks.
        gram = design @ design.T + own * np.eye(len(runs))
        fitted += (problem.held - centre) @ design.T @ np.linalg.solve(gram, left - left.mean(axis=0))
    return fitted


def _left_out(problem: _Problem, shared: float, own: float) -> Float[ndarray, "runs tasks"]:
    """Errors on runs that were left out of the fit."""
    folds = np.arange(len(problem.measured)) % min(_FOLDS, len(problem.measured))
    errors = np.empty_like(problem.wanted)
    for fold in np.unique(folds):
        outside = folds == fold
        fitted = _fit(problem, np.flatnonzero(~outside), shared, own)
        errors[outside] = problem.wanted[outside] - fitted[problem.measured[outside]]
    return errors


def _error(problem: _Problem, shared: float, own: float) -> float:
    return float(np.mean(_left_out(problem, shared, own) ** 2))
