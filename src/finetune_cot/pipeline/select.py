"""``ftcot select``: the tasks worth fine-tuning on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.artifacts.files import sha256_file
from finetune_cot.artifacts.ids import ResultsId, SampledIndicesId, TaskGroupsId
from finetune_cot.artifacts.manifest import sidecar, start, write_manifest
from finetune_cot.artifacts.results import read_results
from finetune_cot.artifacts.subset_lists import write_subsets
from finetune_cot.artifacts.task_groups import write_task_groups
from finetune_cot.config.options import replace as changed
from finetune_cot.config.options import to_plain
from finetune_cot.config.select import SelectConfig
from finetune_cot.errors import ArtifactError, UsageError
from finetune_cot.estimation.features import load_features
from finetune_cot.estimation.registry import ESTIMATORS
from finetune_cot.pipeline.clustering import cluster_samples
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.taken_gradients import TakenGradients, open_gradients, regrouped
from finetune_cot.pipeline.task_subsets import listed_subsets, target_number
from finetune_cot.pipeline.train_checks import settled_method
from finetune_cot.selection.affinity import group_tasks, task_affinity
from finetune_cot.selection.ensemble import below_threshold, ensemble_scores, natural_threshold, top_k
from finetune_cot.selection.leave_one_out import leave_one_out
from finetune_cot.selection.stepwise import forward_stepwise
from finetune_cot.selection.subsets import Estimate, Subset
from finetune_cot.selection.surrogate import fit_surrogate


@dataclass(frozen=True)
class SelectResult:
    """What was chosen."""

    selected: tuple[int, ...]
    """Numbers of the tasks."""
    scores: dict[str, float | None]
    """By task, the lower the better; None where there is none."""
    method: str
    tasks: tuple[str, ...] = ()
    """Names of the chosen tasks."""
    target: str = "mean"
    groups: tuple[tuple[int, ...], ...] = ()
    """With ``affinity``, all groups of tasks."""
    path: Path | None = None
    """List of subsets that holds the chosen one, or the groups."""
    order: tuple[int, ...] = ()
    """With ``stepwise`` and ``surrogate``, the chosen tasks as they were added."""
    losses: tuple[float, ...] = ()
    """Estimated loss of the target after each of them, nats a token."""
    task_groups: Path | None = None
    """The clusters that are the tasks, where they are."""
    samples_by_task: Mapping[str, int] = field(default_factory=dict)
    """Training samples."""


@dataclass(frozen=True)
class _Choice:
    selected: Subset
    scores: Float[ndarray, " tasks"]
    groups: tuple[Subset, ...] = ()
    order: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()


def select(config: SelectConfig) -> SelectResult:
    """Choose tasks, and write them as a list of subsets that `train` and `sample-truth` take.

    With ``--group-by cluster`` samples are clustered by their gradients first; the clusters are written too,
    for ``--task-groups``, and are the tasks that are chosen from.

    Raises:
        UsageError: an option that these tasks, or this method, cannot follow.
        DataError, ArtifactError: data, gradients or measured losses are missing or torn; other clusters are
            there.
    """
    config = settled_method(config)
    if config.group:
        config = changed(config, select_by="affinity")
    running = start("select", to_plain(config))
    gradients, task_groups = open_gradients(config), config.task_groups
    if config.group_by == "cluster":
        gradients, task_groups = _clustered(config, gradients)
    target = target_number(config.target_task, gradients.tasks)
    choice = _choose(config, gradients, target)
    of_target = "" if target is None else f"_for_{target}"
    name = f"{gradients.name}_selected_{config.select_by}{of_target}"
    path = SampledIndicesId(name).path(config.saved_dir)
    write_subsets(path, choice.groups or [choice.selected])
    inputs, outputs = gradients.store.header.origin, {path.name: sha256_file(path)}
    write_manifest(sidecar(path), running.manifest(inputs, outputs))
    counts = np.bincount(gradients.store.task[~gradients.store.is_dev], minlength=len(gradients.tasks))
    scores = {
        task: float(score) if np.isfinite(score) else None
        for task, score in zip(gradients.tasks, choice.scores, strict=True)
    }
    return SelectResult(
        selected=choice.selected,
        scores=scores,
        method=config.select_by,
        tasks=tuple(gradients.tasks[index] for index in choice.selected),
        target="mean" if target is None else gradients.tasks[target],
        groups=choice.groups,
        path=path,
        order=choice.order,
        losses=choice.losses,
        task_groups=task_groups,
        samples_by_task=dict(zip(gradients.tasks, counts.tolist(), strict=True)),
    )


def _clustered(config: SelectConfig, gradients: TakenGradients) -> tuple[TakenGradients, Path]:
    """The gradients with clusters as tasks, and where the clusters are."""
    if config.task_groups is not None:
        raise UsageError("contradicts --task-groups, which names clusters", where="--group-by cluster")
    running = start("select", to_plain(config))
    groups = cluster_samples(gradients, config.num_clusters, config.seed)
    clustered = regrouped(gradients, config, groups)
    path = TaskGroupsId(clustered.name).path(config.saved_dir)
    manifest = running.manifest(inputs=gradients.store.header.origin)
    write_task_groups(path, groups, manifest, config.overwrite)
    return clustered, path


def _choose(config: SelectConfig, gradients: TakenGradients, target: int | None) -> _Choice:
    count = len(gradients.tasks)
    number = config.num_tasks
    if number is not None and number > count:
        raise UsageError(f"there are only {count} tasks", where="--num-tasks")
    if config.select_by in ("stepwise", "leave-one-out"):
        if config.losses == "measured":
            raise UsageError(
                f"{config.select_by} needs losses of subsets that nobody measured",
                where="--losses measured",
                remedy="use --select-by ensemble, affinity or surrogate",
            )
        estimate = _estimates(config, gradients)
        if config.select_by == "stepwise":
            return _stepwise(config, estimate, count, target)
        left_out = leave_one_out(estimate, tuple(range(count)), target)
        helpful = below_threshold(left_out.scores, 0.0) if number is None else top_k(left_out.scores, number)
        return _Choice(helpful, left_out.scores)
    subsets, losses = _losses(config, gradients)
    if config.select_by == "surrogate":
        surrogate = fit_surrogate(subsets, losses, seed=config.seed)
        return _stepwise(config, surrogate.estimate, count, target)
    scores = ensemble_scores(subsets, losses, target)
    if config.select_by == "affinity":
        return _grouped(config, subsets, losses, scores, target)
    return _Choice(_by_score(config, scores), scores)


def _stepwise(config: SelectConfig, estimate: Estimate, count: int, target: int | None) -> _Choice:
    """Task after task, until none gains enough; with ``--num-tasks`` and no ``--min-gain``, just so many."""
    min_gain = config.min_gain
    if min_gain is None:
        min_gain = 0.0 if config.num_tasks is None else -np.inf
    found = forward_stepwise(estimate, count, target, max_tasks=config.num_tasks, min_gain=min_gain)
    if len(found.selected) < min(count, config.num_tasks or count):
        enough = f" by more than {min_gain:g}" if min_gain else ""
        say(
            f"after {len(found.selected)} of {count} tasks no other lowers the estimated loss{enough}."
            " Estimates do not know that more samples mean more training: --num-tasks N takes N tasks all the"
            " same"
        )
    return _Choice(found.selected, found.scores, order=found.order, losses=found.losses)


def _by_score(config: SelectConfig, scores: Float[ndarray, " tasks"]) -> Subset:
    if config.select_by == "threshold" and config.threshold is None:
        raise UsageError("is needed with --select-by threshold", where="--threshold")
    if config.select_by == "top-k" and config.num_tasks is None:
        raise UsageError("is needed with --select-by top-k", where="--num-tasks")
    if config.num_tasks is not None:
        return top_k(scores, config.num_tasks)
    threshold = natural_threshold(scores) if config.threshold is None else config.threshold
    chosen = below_threshold(scores, threshold)
    if not chosen:
        lowest = float(np.nanmin(scores))
        raise UsageError(
            "no task has so low a score", where="--threshold", remedy=f"the lowest is {lowest:.4g}"
        )
    return chosen


def _grouped(
    config: SelectConfig,
    subsets: Sequence[Subset],
    losses: Float[ndarray, "subsets tasks"],
    scores: Float[ndarray, " tasks"],
    target: int | None,
) -> _Choice:
    """The group of the target; for the mean, the group with the lowest mean score."""
    labels = group_tasks(task_affinity(subsets, losses), config.num_groups, config.seed)
    groups = tuple(tuple(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels))
    if target is not None:
        return _Choice(next(group for group in groups if target in group), scores, groups)
    return _Choice(min(groups, key=lambda group: float(np.nanmean(scores[list(group)]))), scores, groups)


def _estimates(config: SelectConfig, gradients: TakenGradients) -> Estimate:
    features = load_features(gradients.store, gradients.points)
    estimator = ESTIMATORS[config.estimator]
    return lambda subsets: estimator(features, subsets, gradients.settings).losses


def _losses(
    config: SelectConfig, gradients: TakenGradients
) -> tuple[list[Subset], Float[ndarray, "subsets tasks"]]:
    """Subsets with their losses, estimated or measured."""
    if config.losses == "measured":
        path = ResultsId(gradients.name, run=config.run or None).path(config.saved_dir)
        rows = read_results(path) if path.exists() else []
        if not rows:
            raise ArtifactError("there are no measured losses", where=path, remedy="run `ftcot sample-truth`")
        by_task = [[row.loss_by_task.get(task, np.nan) for task in gradients.tasks] for row in rows]
        return [row.task_indices for row in rows], np.array(by_task)
    subsets = listed_subsets(
        config,
        len(gradients.tasks),
        config.seed,
        gradients.name,
        config.saved_dir,
        overwrite=config.overwrite,
        keep=False,
    )
    return subsets, _estimates(config, gradients)(subsets)
