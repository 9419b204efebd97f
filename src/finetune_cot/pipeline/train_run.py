"""One training run: from its samples to a checkpoint folder, found finished, taken up again, or begun."""

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finetune_cot.artifacts.checkpoints import BEST, EPOCH_LOG, EPOCHS, LAST, STEP_LOG
from finetune_cot.artifacts.files import read_json, recover_directory, sha256_file, write_json_atomic
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import (
    peak_memory_bytes,
    read_manifest,
    start,
    verify_outputs,
    write_manifest,
)
from finetune_cot.artifacts.students import STUDENT_FILE, read_student, write_student
from finetune_cot.config.options import to_plain
from finetune_cot.errors import ArtifactError
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.same_run import difference
from finetune_cot.pipeline.train_plan import RunPlan
from finetune_cot.pipeline.trainable import Examples, encode_parts, load_trainable, training_settings
from finetune_cot.pipeline.training_memory import memory_line, program_memory, training_memory
from finetune_cot.tasks.label_space import labels_of

if TYPE_CHECKING:
    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.models.loading import LoadedModel
    from finetune_cot.training.memory import MemoryEstimate
    from finetune_cot.training.settings import TrainingOutcome

MANIFEST, OUTCOME = "manifest.json", "outcome.json"

_WITHOUT_EFFECT = frozenset(
    {
        *("saved_dir", "data_dir", "data_path", "dataset_key", "task_field", "split_key", "template"),
        *("task_groups", "task_idxes", "load_sample_task_dir", "subset_num", "dev_tasks"),
        *("downsample", "dev_fraction", "save_name", "load_model_dir"),
        *("run", "runs", "devices", "gradient_checkpointing", "inference_batch_size", "checkpoint_every"),
        *("platform", "base_url", "api_key_env", "api_key_file", "timeout", "max_retries", "poll_seconds"),
        *("strategy", "num_nodes", "engine", "ray_address", "ray_workers"),
        *("logger", "write_results", "overwrite", "dry_run"),
        *("train_lora", "use_qlora", "train_adapter", "use_qadapter"),
    }
)
"""Options that do not make it another run; those about data do by the samples, which are compared."""

State = Literal["new", "other", "unfinished", "finished"]


@dataclass(frozen=True)
class RunResult:
    """What a run came to; losses are of the last epoch, in nats a token."""

    run: int
    seed: int
    checkpoint: str
    steps: int
    """Optimizer steps."""
    trainable_parameters: int
    samples: int
    dev_samples: int
    too_long: int
    """Samples left out because they have more tokens than ``--max-length``."""
    train_loss: float
    dev_loss: float | None
    best_epoch: int
    best_dev_loss: float | None
    seconds: float
    seconds_per_sample: float
    peak_memory_bytes: int
    """Of the process that needed most."""
    estimated_memory_bytes: int | None = None
    """What a process was to need; None where it cannot be told."""
    dev_loss_by_task: Mapping[str, float] = field(default_factory=dict)
    dev_metrics_by_epoch: tuple[Mapping[str, float], ...] = ()
    """Of a classifier, after each epoch, by names such as ``rte_accuracy``."""
    resumed: bool = False
    """Whether it was taken up from a checkpoint."""
    reused: bool = False
    """Whether it was there already, finished."""


def perform(plan: RunPlan, show_example: bool, ranks: Ranks) -> RunResult:
    """Train a student, or go on where an interrupted run was, or take what a finished one left.

    Args:
        plan: What the run is.
        show_example: Whether a training sample is shown first.
        ranks: The processes that train it together; the first one writes.

    Raises:
        ArtifactError: another run holds the folder, or something else was trained into it.
        ModelError: the model or the adapter cannot be loaded.
        DataError: no sample is short enough.
        TrainingError: the loss is no longer a finite number.
    """
    from finetune_cot.training.freed_memory import given_back_at_once

    name = plan.folder.name
    if found := ranks.agree(f"found {name}", lambda: _finished(plan)):
        return RunResult(**found)
    program = program_memory(plan.device) if ranks.is_first else 0
    with given_back_at_once():
        model, loaded = load_trainable(plan.config, plan.device, labels_of(plan.student))
    examples = encode_parts(plan.parts, plan.student.template, plan.config.max_length, loaded)
    if show_example:
        _show_example(loaded, examples.train[0])
    memory = training_memory(plan, program, examples) if ranks.is_first else None
    if memory and show_example:
        say(memory_line(memory, plan.device, loaded=True))
    with contextlib.ExitStack() as held:

        def begin() -> dict[str, Any] | bool:
            held.enter_context(artifact_lock(plan.folder, "train"))
            # Another command may have been at it while the model was loaded.
            if finished := _finished(plan):
                return finished
            held.enter_context(_removed_unless_begun(plan.folder))
            return _begin(plan)

        begun = ranks.agree(f"begun {name}", begin)
        if isinstance(begun, dict):
            return RunResult(**begun)
        return _train(plan, model, loaded, examples, begun, ranks, memory)


def check_folder(plan: RunPlan) -> State:
    """What there is of a run; refuses what ``--overwrite`` would be needed for.

    Raises:
        ArtifactError: something else was trained into the folder, the student's keys stand for another
            checkpoint, or the manifest is torn.
    """
    state = _state(plan)
    student = read_student(plan.student_path) if plan.student_path.exists() else None
    if student and student.platform:
        raise ArtifactError(
            "is of a student that a platform trained",
            where=plan.student_path,
            remedy="give another --train-key",
        )
    known = student.checkpoints if student else {}
    run = str(plan.config.run)
    if (
        not plan.config.overwrite
        and known.get(run, plan.student.checkpoints[run]) != (plan.student.checkpoints[run])
    ):
        raise ArtifactError(
            f"run {run} of this student is another checkpoint, {known[run]}",
            where=plan.student_path,
            remedy="give another --train-key, or --overwrite",
        )
    return state


def _state(plan: RunPlan) -> State:
    path = plan.folder / MANIFEST
    if not path.exists() and not (plan.folder / LAST).exists():
        return "new"
    different: str | None = "there is no manifest"
    if path.exists():
        different = difference(read_manifest(path), plan.config, plan.inputs, _WITHOUT_EFFECT)
    if different is None:
        return "finished" if read_manifest(path).outputs else "unfinished"
    if not plan.config.overwrite:
        raise ArtifactError(
            f"another student was trained into this folder: {different}",
            where=plan.folder,
            remedy="give another --save-name, or --overwrite to replace it",
        )
    return "other"


def _finished(plan: RunPlan) -> dict[str, Any] | None:
    """The result of a run that is there already; None where there is something to do."""
    if _state(plan) != "finished":
        return None
    verify_outputs(plan.folder, read_manifest(plan.folder / MANIFEST))
    say(f"{plan.folder.name} is there already, trained in the same way: nothing to do")
    values = read_json(plan.folder / OUTCOME)
    if not _is_registered(plan):
        write_student(plan.student_path, read_student(plan.folder / STUDENT_FILE))
    return {**values, "checkpoint": str(plan.folder), "resumed": False, "reused": True}


def _show_example(loaded: "LoadedModel", example: "EncodedExample") -> None:
    from finetune_cot.batches.encoding import show_masked

    text = show_masked(loaded.tokenizer, example, loaded.model_type, loaded.labels)
    verb = "choose" if loaded.labels else "write"
    say(f"A training sample; the model learns to {verb} what is in [[ ]]:\n{text}\n")


def _begin(plan: RunPlan) -> bool:
    """Make the folder ready; returns whether there is a checkpoint in it to go on from."""
    from finetune_cot.training.callbacks import clear_folder

    folder, state = plan.folder, _state(plan)
    folder.mkdir(parents=True, exist_ok=True)
    if state != "unfinished":
        clear_folder(folder)
    running = start("train", to_plain(plan.config))
    write_manifest(folder / MANIFEST, running.manifest(inputs=plan.inputs))
    recover_directory(folder / LAST)
    resumed = (folder / LAST).exists()
    if resumed:
        say(f"{folder.name} goes on from its last checkpoint")
    return resumed


def _train(
    plan: RunPlan,
    model: Any,
    loaded: "LoadedModel",
    examples: Examples,
    resumed: bool,
    ranks: Ranks,
    memory: "MemoryEstimate | None",
) -> RunResult:
    from finetune_cot.training.fit import fine_tune, total_batches
    from finetune_cot.training.weights import trainable_weights

    config, folder = plan.config, plan.folder
    running = start("train", to_plain(config))
    settings = training_settings(
        config,
        plan.device,
        strategy=config.strategy,
        processes=plan.processes,
        checkpoint_every=config.checkpoint_every,
        keep_epochs=config.keep_epochs,
        loggers=config.logger,
    )
    batches = total_batches(len(examples.train), settings)
    with progress(f"train run {config.run}", batches, "batches") as report:
        outcome = fine_tune(
            model, loaded.tokenizer.pad_token_id, examples.train, examples.dev, settings, folder, report
        )
    parameters = sum(weight.numel() for weight in trainable_weights(model).values())
    peak = max(ranks.gather(f"memory {folder.name}", _peak_memory_bytes(plan.device)))
    result = _result(plan, outcome, parameters, peak, examples, resumed)
    result = dataclasses.replace(result, estimated_memory_bytes=memory.total if memory else None)
    if ranks.is_first:
        write_json_atomic(folder / OUTCOME, asdict(result))
        _register(plan, len(examples.train))
        write_manifest(folder / MANIFEST, running.manifest(inputs=plan.inputs, outputs=_outputs(folder)))
    return result


def _result(
    plan: RunPlan,
    outcome: "TrainingOutcome",
    parameters: int,
    memory: int,
    examples: Examples,
    resumed: bool,
) -> RunResult:
    last, best = outcome.epochs[-1], outcome.best
    return RunResult(
        run=plan.config.run,
        seed=plan.config.seed + plan.config.run,
        checkpoint=str(plan.folder),
        steps=outcome.steps,
        trainable_parameters=parameters,
        samples=len(examples.train),
        dev_samples=len(examples.dev),
        too_long=examples.too_long,
        train_loss=last.train_loss,
        dev_loss=last.dev_loss,
        best_epoch=best.epoch,
        best_dev_loss=best.dev_loss,
        seconds=outcome.seconds,
        seconds_per_sample=outcome.seconds / outcome.samples_seen,
        peak_memory_bytes=memory,
        dev_loss_by_task=last.dev_loss_by_task,
        dev_metrics_by_epoch=tuple(epoch.dev_metrics for epoch in outcome.epochs if epoch.dev_metrics),
        resumed=resumed,
    )


def _peak_memory_bytes(device: str) -> int:
    """Largest memory in use so far: the GPU's where there is one, else the process's."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    return peak_memory_bytes()


def _register(plan: RunPlan, samples: int) -> None:
    """Write the student's metadata into the folder, and to where other commands look them up."""
    student = dataclasses.replace(plan.student, training_samples=samples)
    write_student(plan.folder / STUDENT_FILE, student)
    write_student(plan.student_path, student)


def _is_registered(plan: RunPlan) -> bool:
    number = str(plan.config.run)
    known = read_student(plan.student_path).checkpoints if plan.student_path.exists() else {}
    return known.get(number) == plan.student.checkpoints[number]


def _outputs(folder: Path) -> dict[str, str]:
    files = [folder / name for name in (STEP_LOG, EPOCH_LOG, OUTCOME, STUDENT_FILE)]
    for part in (LAST, BEST, EPOCHS):
        files += sorted(path for path in (folder / part).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


@contextlib.contextmanager
def _removed_unless_begun(folder: Path) -> Iterator[None]:
    """Leave no folder behind where not even a first checkpoint came about."""
    try:
        yield
    except BaseException:
        if not (folder / LAST).exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise
