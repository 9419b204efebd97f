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

from finetune_cot.artifacts.checkpoints import LAST
from finetune_cot.batches.collation import ShuffledBatches, SortedBatches
from finetune_cot.batches.encoding import EncodedExample
from finetune_cot.errors import TrainingError
from finetune_cot.models.loading import quiet_transformers
from finetune_cot.training.callbacks import Checkpoints, ProgressReport
from finetune_cot.training.checkpoint_io import SafetensorsCheckpointIO
from finetune_cot.training.log import TrainingLog
from finetune_cot.training.loggers import make_logger
from finetune_cot.training.module import FineTuning
from finetune_cot.training.settings import TrainingOutcome, TrainingSettings


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
        TrainingError: the loss or the weights are no longer finite.
        KeyboardInterrupt: Ctrl-C; the last checkpoint is kept.
    """
    model.train()
    log = TrainingLog(folder)
    train_batches = ShuffledBatches(
        train, settings.batch_size, pad_token_id, settings.seed, settings.accumulate
    )
    module = FineTuning(model, settings, total_steps(len(train), settings), train_batches)
    dev_batches = SortedBatches(dev, settings.inference_batch_size, pad_token_id) if dev else None
    last = folder / LAST
    with _quiet(), _interruptible(), _out_of_memory_told():
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
    accelerator, _, index = settings.device.partition(":")
    checkpoints = Checkpoints(folder, log, settings.checkpoint_every, settings.keep_epochs)
    return lightning.Trainer(
        accelerator=accelerator,
        devices=[int(index)] if index else 1,
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip or None,
        plugins=[SafetensorsCheckpointIO()],
        callbacks=[log, *([] if settings.only_outcome else [checkpoints]), ProgressReport(report)],
        check_val_every_n_epoch=settings.epochs if settings.only_outcome else 1,
        logger=[make_logger(name, folder) for name in settings.loggers],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' advice about loggers, workers and the like from the user's terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
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
