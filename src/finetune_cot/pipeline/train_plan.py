"""What a training run is, before it is begun: its samples, its folder, and the student that it makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_cot.artifacts.ids import CheckpointId, ModelMetadataId
from finetune_cot.artifacts.keys import model_slug
from finetune_cot.artifacts.students import Student
from finetune_cot.config.options import replace
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import DataError, UsageError
from finetune_cot.pipeline.subject import start_digest
from finetune_cot.pipeline.task_subsets import trained_tasks
from finetune_cot.pipeline.train_data import Parts, TrainingData, divide, texts_digest, trained_name

if TYPE_CHECKING:
    from finetune_cot.training.settings import Processes


@dataclass(frozen=True)
class RunPlan:
    """What a run is, before it is begun."""

    config: TrainConfig
    """With this run's number, and 1 as the number of runs."""
    folder: Path
    student: Student
    student_path: Path
    """Where the student's metadata lie beside those of others."""
    parts: Parts
    device: str
    processes: "Processes"
    inputs: Mapping[str, str]
    """Digests of the samples, and of the weights to start from."""


def divided(data: TrainingData, config: TrainConfig) -> Parts:
    """What is trained on, and what the dev loss is measured on.

    Raises:
        UsageError: tasks are named that are not there, or no dev set is left where one is needed.
        DataError: there is nothing to train on.
    """
    parts = divide(data, config, trained_tasks(config, len(data.tasks)), config.dev_tasks)
    if not parts.train:
        raise DataError(
            "there is nothing to train on: every question is in the dev set",
            where=data.finetune_key,
            remedy="give a lower --dev-fraction, or more tasks",
        )
    if config.write_results and not parts.dev:
        raise UsageError(
            "there is no dev set to measure a loss on", where="--write-results", remedy="see --dev-fraction"
        )
    return parts


def plan_run(
    config: TrainConfig, run: int, data: TrainingData, parts: Parts, device: str, processes: "Processes"
) -> RunPlan:
    """One of a training's runs: where it goes, and what tells it from others."""
    config = replace(config, run=run, runs=1)
    base = model_slug(config.model_key)
    folder = CheckpointId(trained_name(config, data), config.run).path(config.saved_dir)
    inputs = {
        "training samples": texts_digest(parts.train, data.template),
        "dev samples": texts_digest(parts.dev, data.template),
    }
    if config.load_model_dir is not None:
        inputs["weights to start from"] = start_digest(config.load_model_dir)
    student = Student(
        model_key=config.model_key,
        finetune_key=data.finetune_key,
        train_key=str(config.train_key),
        method=config.method,
        template=data.template,
        checkpoints={str(config.run): folder.relative_to(config.saved_dir).as_posix()},
        training_samples=len(parts.train),
        rationales_per_question=data.rationales_per_question,
        teacher=data.teacher,
        labels=data.labels.plain() if data.labels else None,
    )
    metadata = ModelMetadataId(base, data.finetune_key, student.train_key).path(config.saved_dir)
    return RunPlan(config, folder, student, metadata, parts, device, processes, inputs)
