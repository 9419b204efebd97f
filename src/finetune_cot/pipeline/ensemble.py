"""Adapters of several runs on one base model: their losses and weights, and the folder of their ensemble."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune_cot.artifacts.checkpoints import LAST
from finetune_cot.artifacts.ensembles import Ensemble, write_ensemble
from finetune_cot.artifacts.files import read_json, sha256_file, write_directory_atomic, write_json_atomic
from finetune_cot.artifacts.ids import CheckpointId, ModelMetadataId
from finetune_cot.artifacts.keys import model_slug
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import read_manifest, start, verify_outputs, write_manifest
from finetune_cot.artifacts.students import STUDENT_FILE, write_student
from finetune_cot.config.options import to_plain
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError
from finetune_cot.pipeline.member_losses import MemberLosses, member_losses
from finetune_cot.pipeline.subject import start_digest
from finetune_cot.pipeline.train_data import Parts, TrainingData, texts_digest, trained_name
from finetune_cot.pipeline.train_plan import RunPlan
from finetune_cot.pipeline.train_run import MANIFEST, OUTCOME, RunResult
from finetune_cot.pipeline.trainable import encode_parts

if TYPE_CHECKING:
    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.models.loading import LoadedModel


@dataclass(frozen=True)
class EnsembleResult:
    """What an ensemble came to; losses are of the dev samples, in nats a token."""

    checkpoint: Path
    members: Mapping[str, float]
    """Share of each member over all tasks, by the name of its checkpoint."""
    dev_loss: float
    """Mean over the tasks, of each by weights that were learned on its other samples."""
    dev_loss_by_task: Mapping[str, float]
    own_group_loss_by_task: Mapping[str, float]
    """The same by the adapter of the task's own group alone."""
    runs: tuple[RunResult, ...] = ()
    reused: bool = False

    def plain(self) -> dict[str, Any]:
        """As JSON holds it, without the members' runs."""
        return {**asdict(self), "checkpoint": str(self.checkpoint), "runs": ()}


def from_plain(values: Mapping[str, Any]) -> EnsembleResult:
    """What `EnsembleResult.plain` gave."""
    return EnsembleResult(**{**values, "checkpoint": Path(values["checkpoint"]), "runs": ()})


@dataclass(frozen=True)
class MeasuredMembers:
    """Members on one base model, and what they make of the dev samples."""

    loaded: "LoadedModel"
    train: Sequence["EncodedExample"]
    dev: MemberLosses
    weights_by_task: Mapping[str, tuple[float, ...]]
    dev_loss: Mapping[str, float]
    """By task; by weights that were learned on the task's other samples."""


def member_names(members: Sequence[RunPlan]) -> list[str]:
    """What the members are called in the model and in the ensemble's folder."""
    return [f"member_{number}" for number in range(len(members))]


def measure_members(
    config: TrainConfig, members: Sequence[RunPlan], data: TrainingData, parts: Parts
) -> MeasuredMembers:
    """Load the members on one base model, and measure their losses of the dev samples.

    Raises:
        ModelError: a member cannot be loaded.
    """
    from finetune_cot.models.ensemble import load_members

    names = member_names(members)
    folders = {name: plan.folder / LAST for name, plan in zip(names, members, strict=True)}
    loaded = load_members(
        config.model_key,
        folders,
        precision=config.precision,
        device=members[0].device,
        labels=data.labels,
    )
    examples = encode_parts(parts, data.template, config.max_length, loaded)
    dev = member_losses(loaded, names, examples.dev, config.inference_batch_size)
    weights = {task: tuple(dev.weights(dev.of_task(task)).tolist()) for task in sorted(set(dev.tasks))}
    losses = {task: dev.held_out(task) for task in weights}
    return MeasuredMembers(loaded, examples.train, dev, weights, losses)


def join(
    config: TrainConfig, run: int, data: TrainingData, members: Sequence[RunPlan], parts: Parts
) -> EnsembleResult:
    """Learn how much each member says, and write the ensemble; one that is there already is taken as it is.

    Raises:
        ArtifactError: another ensemble is there, or the folder cannot be written.
        ModelError: a member cannot be loaded.
    """
    folder = CheckpointId(f"{trained_name(config, data)}_groups", run).path(config.saved_dir)
    inputs = {plan.folder.name: start_digest(plan.folder) for plan in members}
    inputs["dev samples"] = texts_digest(parts.dev, data.template)
    running = start("train", to_plain(config))
    with artifact_lock(folder, "train"):
        if (folder / MANIFEST).exists():
            found = read_manifest(folder / MANIFEST)
            if found.inputs == inputs:
                verify_outputs(folder, found)
                return replace(from_plain(read_json(folder / OUTCOME)), checkpoint=folder, reused=True)
            if not config.overwrite:
                raise ArtifactError(
                    "another ensemble was written into this folder",
                    where=folder,
                    remedy="give another --save-name, or --overwrite to replace it",
                )
            (folder / MANIFEST).unlink()
        measured = measure_members(config, members, data, parts)
        result = _result(folder, members, measured)
        _write(config, run, members, measured, result)
        outputs = {
            path.relative_to(folder).as_posix(): sha256_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        write_manifest(folder / MANIFEST, running.manifest(inputs=inputs, outputs=outputs))
    return result


def _result(folder: Path, members: Sequence[RunPlan], measured: MeasuredMembers) -> EnsembleResult:
    dev = measured.dev
    weights = dev.weights(np.ones(len(dev.tasks), dtype=bool))
    own: dict[str, float] = {}
    for number, plan in enumerate(members):
        alone = dev.by_sample(dev.losses[number])
        for task in {text.task for text in plan.parts.train} & measured.dev_loss.keys():
            own.setdefault(task, float(alone[dev.of_task(task)].mean()))
    return EnsembleResult(
        checkpoint=folder,
        members=dict(zip((plan.folder.name for plan in members), weights.tolist(), strict=True)),
        dev_loss=float(np.mean(list(measured.dev_loss.values()))),
        dev_loss_by_task=measured.dev_loss,
        own_group_loss_by_task=own,
    )


def _write(
    config: TrainConfig,
    run: int,
    members: Sequence[RunPlan],
    measured: MeasuredMembers,
    result: EnsembleResult,
) -> None:
    """Write the members' adapters with the description beside them, and the student that they make."""
    folder, names = result.checkpoint, member_names(members)
    with write_directory_atomic(folder / LAST) as new:
        for name, plan in zip(names, members, strict=True):
            state = shutil.ignore_patterns("trainer_state*")
            shutil.copytree(plan.folder / LAST, new / name, ignore=state)
        groups = tuple(tuple(sorted({text.task for text in plan.parts.train})) for plan in members)
        shares = tuple(result.members.values())
        write_ensemble(
            new, Ensemble(config.model_key, tuple(names), groups, shares, measured.weights_by_task)
        )
    write_json_atomic(folder / OUTCOME, result.plain())
    first = members[0].student
    student = replace(
        first,
        train_key=f"{config.train_key}_groups",
        method="ensemble",
        checkpoints={str(run): folder.relative_to(config.saved_dir).as_posix()},
        training_samples=sum(len(plan.parts.train) for plan in members),
    )
    write_student(folder / STUDENT_FILE, student)
    id = ModelMetadataId(model_slug(config.model_key), student.finetune_key, student.train_key)
    write_student(id.path(config.saved_dir), student)
