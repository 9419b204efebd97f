"""What ``ftcot train`` came to, or would do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_cot.pipeline.ensemble import EnsembleResult
from finetune_cot.pipeline.train_data import TrainingData
from finetune_cot.pipeline.train_plan import RunPlan
from finetune_cot.pipeline.train_run import RunResult
from finetune_cot.pipeline.training_memory import memory_line, program_memory, training_memory


@dataclass(frozen=True)
class TrainResult:
    """What was trained. Losses are of the last epoch, in nats a token; of several runs, their means."""

    checkpoint: Path
    """The folder of the first run."""
    epochs: int
    steps: int
    """Optimizer steps of a run."""
    trainable_parameters: int | None = None
    train_loss: float | None = None
    """Mean over the label tokens of the last epoch, each before the step that it was part of."""
    dev_loss: float | None = None
    """Mean over the dev samples of each sample's mean over its label tokens."""
    dev_loss_by_task: Mapping[str, float] = field(default_factory=dict)
    dev_metrics: Mapping[str, float] = field(default_factory=dict)
    """Of a classifier, by names such as ``rte_accuracy``, after the last epoch."""
    dev_loss_mean: float | None = None
    dev_loss_std: float | None = None
    """Sample standard deviation over the runs; None of a single one."""
    best_epoch: int | None = None
    """Epoch with the lowest dev loss, of the first run."""
    seconds: float = 0.0
    """Training of all runs, without loading, dev passes and checkpoints."""
    seconds_per_sample: float | None = None
    peak_memory_bytes: int | None = None
    estimated_memory_bytes: int | None = None
    """What a run was to need; None where it cannot be told."""
    results_path: Path | None = None
    samples: int = 0
    dev_samples: int = 0
    too_long: int = 0
    """Samples left out because they have more tokens than ``--max-length``."""
    left_out: int = 0
    """Samples left out because there is nothing to learn in them."""
    resumed: bool = False
    reused: bool = False
    """Whether every run was there already."""
    runs: tuple[RunResult, ...] = ()
    ensembles: tuple[EnsembleResult, ...] = ()
    """With ``--groups``, the ensemble of each run; the dev losses are theirs."""
    served_model: str | None = None
    """Of a platform's student, the server's name of it; ``checkpoint`` is then the file of its metadata."""
    job_id: str | None = None
    """Of a platform's student, the server's name of the job that made it."""
    platform_run: int = 0
    """Of a platform's student, the number of the run."""
    plan: Mapping[str, Any] | None = None
    """With ``--dry-run``, what would be done."""


def planned(plans: Sequence[RunPlan], states: Sequence[str], data: TrainingData) -> TrainResult:
    """What would be done, and what of it is there already."""
    from finetune_cot.pipeline.trainable import training_settings
    from finetune_cot.training.fit import total_steps

    first = plans[0]
    samples, dev_samples = len(first.parts.train), len(first.parts.dev)
    steps = total_steps(samples, training_settings(first.config, first.device))
    memory = training_memory(first, program_memory(first.device))
    plan = {
        "model": first.config.model_key,
        "device": first.device,
        "processes": first.processes.world,
        "template": data.template,
        "tasks": [data.tasks[index] for index in first.parts.task_indices],
        "questions": len({text.question.strip() for text in first.parts.train}),
        "steps": steps,
        "memory": memory_line(memory, first.device, loaded=False) if memory else "not known",
        "runs": [
            {"checkpoint": str(plan.folder), "state": state}
            for plan, state in zip(plans, states, strict=True)
        ],
        "files": [str(plan.folder) for plan in plans] + [str(first.student_path)],
    }
    return TrainResult(
        checkpoint=first.folder,
        epochs=first.config.epochs,
        steps=0,
        trainable_parameters=memory.trainable_parameters if memory else None,
        estimated_memory_bytes=memory.total if memory else None,
        samples=samples,
        dev_samples=dev_samples,
        left_out=data.left_out,
        plan=plan,
    )
