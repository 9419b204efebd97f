"""Fine-tuning with Lightning: one function from model and samples to checkpoints and losses."""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.loggers import Logger

from finetune_cot.artifacts.checkpoints import LAST
from finetune_cot.batches.collation import ShuffledBatches, SortedBatches
from finetune_cot.batches.encoding import EncodedExample
from finetune_cot.errors import UsageError
from finetune_cot.training.callbacks import Checkpoints, ProgressReport, TrainingLog
from finetune_cot.training.checkpoint_io import SafetensorsCheckpointIO
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
        report: Called with the number of batches done, of ``total_batches(train, settings)``.

    Raises:
        TrainingError: the loss or the weights are no longer finite.
        KeyboardInterrupt: Ctrl-C; the last checkpoint is kept.
    """
    _quiet()
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    log = TrainingLog(folder)
    steps_per_epoch = math.ceil(total_batches(train, settings) / settings.epochs / settings.accumulate)
    module = FineTuning(model, settings, total_steps=steps_per_epoch * settings.epochs)
    trainer = lightning.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=settings.precision,  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip or None,
        plugins=[SafetensorsCheckpointIO()],
        callbacks=[
            log,
            Checkpoints(folder, log, settings.checkpoint_every, settings.keep_epochs),
            ProgressReport(report),
        ],
        logger=[_logger(name, folder) for name in settings.loggers],
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    train_batches = ShuffledBatches(train, settings.batch_size, pad_token_id, settings.seed)
    dev_batches = SortedBatches(dev, settings.inference_batch_size, pad_token_id) if dev else None
    last = folder / LAST
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, train_batches, dev_batches, ckpt_path=str(last) if last.exists() else None)
    except SystemExit:
        # Lightning ends the process on Ctrl-C; the command line has more to say.
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, handler)
    return TrainingOutcome(tuple(log.epochs), trainer.global_step, log.samples_seen, log.seconds)


def total_batches(train: Sequence[EncodedExample], settings: TrainingSettings) -> int:
    """Batches of the whole run."""
    return math.ceil(len(train) / settings.batch_size) * settings.epochs


def _logger(name: str, folder: Path) -> Logger:
    """A Lightning logger beside the CSV files."""
    try:
        if name == "tensorboard":
            from lightning.pytorch.loggers import TensorBoardLogger

            return TensorBoardLogger(folder, name="tensorboard", version="")
        if name == "wandb":
            from lightning.pytorch.loggers import WandbLogger

            return WandbLogger(name=folder.name, save_dir=folder, project="ftcot")
        from finetune_cot.training.trackio_logger import TrackioLogger

        return TrackioLogger(folder.name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed",
            where=f"--logger {name}",
            remedy="pip install 'finetune-cot[logging]'",
        ) from None


def _quiet() -> None:
    """Keep Lightning's advice about loggers, workers and litmodels from the user's terminal."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (".*does not have many workers.*", ".*`logger=True`.*", ".*litlogger.*", ".*eval mode.*"):
        warnings.filterwarnings("ignore", message)
