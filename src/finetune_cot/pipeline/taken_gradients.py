"""Gradients that `grads` took, opened for the commands that estimate from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finetune_cot.artifacts.gradient_store import GradientStore, open_store
from finetune_cot.artifacts.ids import GradientsId
from finetune_cot.artifacts.task_groups import TaskGroups
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.select import SelectConfig
from finetune_cot.errors import ArtifactError, UsageError
from finetune_cot.estimation.estimates import EstimatorSettings
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.train_data import (
    TrainingData,
    divide,
    in_task_groups,
    read_training_data,
    texts_digest,
    trained_name,
)


@dataclass(frozen=True)
class TakenGradients:
    """A store, and what is wanted of it."""

    name: str
    """Save name of what is trained on these tasks."""
    trained: str
    """Save name of what the gradients are of: the same, where the tasks are those of the data."""
    data: TrainingData
    folder: Path
    store: GradientStore
    points: tuple[int, ...]
    """Places of the points that are used."""
    settings: EstimatorSettings

    @property
    def tasks(self) -> tuple[str, ...]:
        """Sorted names of the tasks."""
        return self.store.header.tasks


def open_gradients(config: EstimateConfig | SelectConfig) -> TakenGradients:
    """Find the gradients that the options mean, by ``--task-groups`` where it is given.

    Raises:
        UsageError: no gradients were taken at a point.
        DataError: the data are missing or torn.
        ArtifactError: there are no such gradients or groups, or they are torn or of other data.
    """
    data = read_training_data(config)
    name = trained_name(config, data)
    id = GradientsId(name, config.project_dim, config.run, config.compute_pretrained_outputs)
    parts = divide(data, config)
    expected = {"dev samples": texts_digest(parts.dev, data.template), "seed": str(config.seed + config.run)}
    folder = _folder(id, config.saved_dir)
    store = open_store(folder, expected)
    settings = EstimatorSettings(config.ridge, config.keep_margins, config.scale, config.seed)
    places = _places(config.points, store.header.points)
    taken = TakenGradients(name, name, data, folder, store, places, settings)
    groups = in_task_groups(data, config.task_groups).groups
    return taken if groups is None else regrouped(taken, config, groups)


def regrouped(
    taken: TakenGradients, config: EstimateConfig | SelectConfig, groups: TaskGroups
) -> TakenGradients:
    """The same gradients, with groups of samples as tasks.

    Raises:
        ArtifactError: a sample is in no group.
    """
    store, data = taken.store, replace(taken.data, groups=groups)
    names = store.header.tasks
    numbers = [
        groups.number(names[task], index)
        for task, index in zip(store.task.tolist(), store.sample_index.tolist(), strict=True)
    ]
    if None in numbers:
        raise ArtifactError(
            f"lacks {numbers.count(None)} samples of the gradients",
            where=f"groups {groups.name}",
            remedy="make it anew with `ftcot select --group-by cluster --overwrite`",
        )
    origin = {**store.header.origin, "task groups": groups.digest}
    header = replace(store.header, tasks=groups.groups, origin=origin)
    return replace(
        taken,
        name=trained_name(config, data),
        data=data,
        store=replace(store, header=header, task=np.array(numbers)),
    )


def _folder(id: GradientsId, saved_dir: Path) -> Path:
    """The gradients of an id; those at the pretrained model where there are no others."""
    folder = id.path(saved_dir)
    pretrained = GradientsId(id.save_name, id.dim, id.run, pretrained=True).path(saved_dir)
    if not folder.exists() and pretrained.exists():
        say("these are gradients at the pretrained model")
        return pretrained
    return folder


def _places(names: Sequence[str], known: Sequence[str]) -> tuple[int, ...]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"no gradients were taken at {unknown[0]!r}",
            where="--points",
            remedy=f"they were at: {', '.join(known)}",
        )
    return tuple(known.index(name) for name in names or known)
