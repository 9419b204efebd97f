"""``ftcot estimate``: dev losses of subsets, from gradients that were taken once."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.artifacts.files import write_json_atomic
from finetune_cot.artifacts.ids import ResultsId
from finetune_cot.artifacts.manifest import start, write_manifest
from finetune_cot.artifacts.results import ResultRow, read_results, write_results
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.gradients import ESTIMATOR_NAMES
from finetune_cot.config.options import to_plain
from finetune_cot.errors import UsageError
from finetune_cot.estimation.calibration import calibrate, datamodel, signals
from finetune_cot.estimation.estimates import Estimates
from finetune_cot.estimation.features import Subset, load_features
from finetune_cot.estimation.registry import ESTIMATORS
from finetune_cot.pipeline.forward import forward_estimates
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.taken_gradients import TakenGradients, open_gradients
from finetune_cot.pipeline.task_subsets import listed_subsets, target_number
from finetune_cot.pipeline.train_checks import settled_method

ESTIMATES = "estimates.json"


@dataclass(frozen=True)
class EstimateResult:
    """What was estimated."""

    results_path: Path
    """Of the main estimator; those of others lie beside it."""
    subsets: int
    tasks: tuple[str, ...]
    seconds: float
    """From opened gradients to estimates of every estimator, with the forward passes of interrupted runs."""
    method: str
    """The main estimator."""
    methods: tuple[str, ...] = ()
    calibrated_on: int = 0
    """Subsets whose true losses were used."""
    best: tuple[int, ...] = ()
    """The subset with the lowest estimated loss of the target."""
    target: str = "mean"
    """The task whose loss that is, or the mean over all of them."""
    dim: int = 0
    points: tuple[str, ...] = ()


def estimate(config: EstimateConfig) -> EstimateResult:
    """Estimate every task's dev loss after fine-tuning on each subset (method.md section 2).

    With ``--evaluate forward`` the main method is the first estimator's step as forward passes measure it;
    estimates to first order lie beside. With ``--calibrate`` it is ``calibrated``: signals of several
    estimators, weighted by some true runs, which reports leave out when they compare.

    Raises:
        UsageError: an option that these gradients cannot follow, or too few true runs.
        DataError: data or list of subsets are missing or torn; a subset has no samples.
        ArtifactError: there are no such gradients, or they are torn, or of other data or another model.
        ModelError: the model is not there, or a step leads to a loss that is no number.
    """
    config = settled_method(config)
    gradients = open_gradients(config)
    name, store = gradients.name, gradients.store
    target = target_number(config.target_task, store.header.tasks)
    subsets = listed_subsets(
        config,
        len(store.header.tasks),
        config.seed,
        name,
        config.saved_dir,
        overwrite=config.overwrite,
        keep=True,
    )
    running = start("estimate", to_plain(config))
    path = ResultsId(name, config.project_dim, config.run).path(config.saved_dir)
    started = time.perf_counter()
    found, used, earlier = _estimates(config, gradients, subsets, path.with_name("forward"))
    seconds = time.perf_counter() - started + earlier
    best = _lowest(found[0].losses, subsets, target, config.target_task)
    _write(path, found, subsets, store.header.tasks, name, used, seconds)
    write_manifest(path.with_name("manifest.json"), running.manifest(inputs=store.header.origin))
    return EstimateResult(
        results_path=path,
        subsets=len(subsets),
        tasks=store.header.tasks,
        seconds=seconds,
        method=found[0].method,
        methods=tuple(item.method for item in found),
        calibrated_on=len(used),
        best=best,
        target="mean" if target is None else store.header.tasks[target],
        dim=store.header.width,
        points=tuple(store.header.points[place] for place in gradients.points),
    )


def _estimates(
    config: EstimateConfig, gradients: TakenGradients, subsets: Sequence[Subset], kept: Path
) -> tuple[list[Estimates], list[Subset], float]:
    """Estimates, the main ones first; the subsets that they were calibrated on; seconds of earlier runs."""
    features, settings = load_features(gradients.store, gradients.points), gradients.settings
    names = ESTIMATOR_NAMES if "all" in config.estimator else config.estimator
    found = [ESTIMATORS[method](features, subsets, settings) for method in dict.fromkeys(names)]
    measured: list[Estimates] = []
    used: list[Subset] = []
    earlier = 0.0
    if config.evaluate == "forward":
        measured, earlier = forward_estimates(config, gradients, subsets, found, kept)
    found = [*measured, *found]
    if config.calibrate:
        truth = ResultsId(gradients.name, run=config.run or None).path(config.saved_dir)
        given = signals(features, subsets, settings) | {item.method: item.losses for item in measured}
        calibrated, used = _calibrated(given, features.tasks, subsets, truth, config.calibrate)
        found = [*calibrated, *found]
    return found, used, earlier


def _lowest(
    losses: Float[ndarray, "subsets tasks"], subsets: Sequence[Subset], target: int | None, named: str
) -> Subset:
    """The subset with the lowest loss of the target task, or the lowest mean."""
    of_target = np.nanmean(losses, axis=1) if target is None else losses[:, target]
    if np.isnan(of_target).all():
        raise UsageError("has no dev samples", where=f"--target-task {named}")
    return subsets[int(np.nanargmin(of_target))]


def _calibrated(
    given: Mapping[str, Float[ndarray, "subsets tasks"]],
    tasks: Sequence[str],
    subsets: Sequence[Subset],
    truth: Path,
    runs: int,
) -> tuple[list[Estimates], list[Subset]]:
    """Signals calibrated on true runs, the datamodel on the same ones, and the subsets of those runs."""
    known = {row.task_indices: row.loss_by_task for row in read_results(truth)} if truth.exists() else {}
    used = [subset for subset in subsets if subset in known][:runs]
    if len(used) < runs:
        raise UsageError(
            f"only {len(used)} of these subsets were really trained on, not {runs}",
            where=f"--calibrate, {truth}",
            remedy="run `ftcot sample-truth` on the same list",
        )
    places = np.array([subsets.index(subset) for subset in used])
    losses = np.array([[known[subset].get(task, np.nan) for task in tasks] for subset in used])
    found = calibrate(given, subsets, places, losses)
    told = ", ".join(f"{name} {weight:+.2f}" for name, weight in found.weights.items())
    say(f"weights of the signals: {told}; error in cross-validation {found.error:.2f} standard deviations")
    return [found.estimates, datamodel(subsets, places, losses)], used


def _write(
    path: Path,
    found: Sequence[Estimates],
    subsets: Sequence[Subset],
    tasks: Sequence[str],
    truth_name: str,
    used: Sequence[Subset],
    seconds: float,
) -> None:
    """Write a table for each method, and what they are."""
    methods = {}
    for item in found:
        file = path if item is found[0] else path.with_name(f"{item.method}.csv")
        write_results(file, _rows(item, subsets, tasks))
        methods[item.method] = {
            "file": file.name,
            "is_loss": item.is_loss,
            "calibration_subsets": [list(subset) for subset in used]
            if item.method in ("calibrated", "datamodel")
            else [],
        }
    told = {"methods": methods, "seconds": round(seconds, 3), "truth_name": truth_name, "tasks": list(tasks)}
    write_json_atomic(path.with_name(ESTIMATES), told)


def _rows(found: Estimates, subsets: Sequence[Subset], tasks: Sequence[str]) -> list[ResultRow]:
    """One row a subset; tasks without dev samples have no column."""
    rows = []
    for place, subset in enumerate(subsets):
        losses = _known(found.losses[place], tasks)
        std = {} if found.std is None else _known(found.std[place], tasks)
        std = {task: std[task] for task in losses if task in std}
        rows.append(ResultRow(subset, float(np.mean(list(losses.values()))), losses, std_by_task=std))
    return rows


def _known(values: np.ndarray, tasks: Sequence[str]) -> dict[str, float]:
    return {task: float(value) for task, value in zip(tasks, values, strict=True) if np.isfinite(value)}
