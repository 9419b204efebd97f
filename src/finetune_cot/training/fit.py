"""Fine-tuning with Lightning: one function from model and samples to checkpoints and losses."""

import contextlib
import logging
import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from finetune_cot.artifacts.checkpoints import LAST
from finetune_cot.batches.collation import Part, ShuffledBatches, SortedBatches
from finetune_cot.batches.encoding import EncodedExample
from finetune_cot.errors import TrainingError
from finetune_cot.models.loading import quiet_transformers
from finetune_cot.training.callbacks import Checkpoints, OwnSignals, ProgressReport
from finetune_cot.training.checkpoint_io import SafetensorsCheckpointIO
from finetune_cot.training.log import TrainingLog
from finetune_cot.training.loggers import make_logger
from finetune_cot.training.module import FineTuning
from finetune_cot.training.settings import Processes, TrainingOutcome, TrainingSettings
from finetune_cot.training.sharded_strategy import ShardedStrategy
from finetune_cot.training.zero_strategy import ZeroStrategy, quiet_deepspeed


def fine_tune(
    model: Any,
    pad_token_id: int,
    train: Sequence[EncodedExample],
    dev: Sequence[EncodedExample],
    settings: TrainingSettings,
    folder: Path,
    report: Callable[[int], None],
) -> TrainingOutcome:
    """Fine-tune the trainable parameters of a model, from the last checkpoint in the folder if there is one.

    A run that was stopped and resumed ends with the same weights as one that was not.

    Args:
        model: A transformers model or PEFT adapter; changed in place.
        pad_token_id: Token that fills up short samples.
        train: Samples to train on.
        dev: Samples whose loss is measured after each epoch; may be empty.
        settings: How to train.
        folder: Where logs and checkpoints go; ``last`` in it is resumed from.
        report: Called with the number of batches done, of ``total_batches``.

    Raises:
        TrainingError: the loss or the weights are no longer finite, or another process is gone.
        KeyboardInterrupt: Ctrl-C; the last checkpoint is kept.
    """
    model.train()
    processes = settings.processes
    log = TrainingLog(folder, writes=processes.rank == 0)
    part = Part(processes.rank, processes.world)
    train_batches = ShuffledBatches(
        train, settings.batch_size, pad_token_id, settings.seed, settings.accumulate, part
    )
    module = FineTuning(model, settings, total_steps(len(train), settings), train_batches)
    dev_batches = SortedBatches(dev, settings.inference_batch_size, pad_token_id, part) if dev else None
    last = folder / LAST
    with (
        _quiet(),
        quiet_deepspeed() if settings.strategy.startswith("deepspeed") else contextlib.nullcontext(),
        _interruptible(),
        _out_of_memory_told(),
        _loss_of_others_told(processes.world),
    ):
        if settings.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        trainer = _trainer(settings, folder, log, report)
        trainer.fit(module, train_batches, dev_batches, ckpt_path=str(last) if last.exists() else None)
    return TrainingOutcome(tuple(log.epochs), trainer.global_step, log.samples_seen, log.seconds)


def total_batches(samples: int, settings: TrainingSettings) -> int:
    """Batches of the whole run."""
    return math.ceil(samples / settings.batch_size) * settings.epochs


def total_steps(samples: int, settings: TrainingSettings) -> int:
    """Optimizer steps of the whole run; the last one of an epoch may have fewer batches."""
    return math.ceil(math.ceil(samples / settings.batch_size) / settings.accumulate) * settings.epochs


def _trainer(
    settings: TrainingSettings, folder: Path, log: TrainingLog, report: Callable[[int], None]
) -> lightning.Trainer:
    processes = settings.processes
    names = processes.devices or (settings.device,)
    indices = [int(index) for index in (name.partition(":")[2] for name in names) if index]
    checkpoints = Checkpoints(folder, log, settings.checkpoint_every, settings.keep_epochs)
    signals = [OwnSignals()] if processes.world > 1 else []
    return lightning.Trainer(
        accelerator=settings.device.partition(":")[0],
        devices=indices or len(names),
        num_nodes=processes.nodes,
        strategy=_strategy(settings),
        use_distributed_sampler=False,
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip or None,
        plugins=[SafetensorsCheckpointIO(), _environment(processes)],
        callbacks=[log, *([] if settings.only_outcome else [checkpoints]), ProgressReport(report), *signals],
        check_val_every_n_epoch=settings.epochs if settings.only_outcome else 1,
        logger=[make_logger(name, folder) for name in settings.loggers if processes.rank == 0],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _strategy(settings: TrainingSettings) -> Any:
    if settings.strategy == "fsdp":
        return ShardedStrategy(settings.processes.world)
    if settings.strategy.startswith("deepspeed"):
        stage = int(settings.strategy.rpartition("_")[2])
        return ZeroStrategy(stage, on_cpu=settings.device == "cpu")
    return settings.strategy if settings.processes.world > 1 else "auto"


def _environment(processes: Processes) -> ClusterEnvironment:
    """Who started the processes; a single one is none of SLURM's, even in a job that has room for several."""
    if processes.world == 1:
        return LightningEnvironment()
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    return SLURMEnvironment(auto_requeue=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' advice about loggers, workers and the like from the user's terminal."""
    loggers = [logging.getLogger(f"lightning.{name}") for name in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Undo what Lightning does on Ctrl-C: it ends the process, and the command line has more to say."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _out_of_memory_told() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise TrainingError(
            "the device's memory is full",
            remedy="try a lower --batch-size with --accumulate, --gradient-checkpointing or bf16-mixed",
        ) from None


@contextlib.contextmanager
def _loss_of_others_told(world: int) -> Iterator[None]:
    """Tell in one line of what the libraries raise when a process that is computed with is gone."""
    try:
        yield
    except RuntimeError as error:
        if world == 1 or not any(name in str(error).lower() for name in ("gloo", "nccl", "connection")):
            raise
        raise TrainingError(
            "another process of this run is gone",
            remedy="the last checkpoint is kept, and the same command goes on from there",
        ) from error
