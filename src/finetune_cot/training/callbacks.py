"""What happens beside the training loop: checkpoints, and word of progress."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from finetune_cot.artifacts.checkpoints import BEST, EPOCH_LOG, EPOCHS, LAST, STEP_LOG, epoch_folder
from finetune_cot.artifacts.files import write_directory_atomic
from finetune_cot.errors import TrainingError
from finetune_cot.training.log import TrainingLog, stepped
from finetune_cot.training.settings import best_epoch
from finetune_cot.training.sharding import own_part
from finetune_cot.training.weights import trainable_weights, weights_writer


class Checkpoints(Callback):
    """The last checkpoint, from which a run resumes, and the best and each epoch's weights."""

    def __init__(self, folder: Path, log: TrainingLog, every: int, keep_epochs: bool) -> None:
        self._folder = folder
        self._log = log
        self._every = every
        self._keep_epochs = keep_epochs
        self._saved_step = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Count steps from the checkpoint that was resumed."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save every so many optimizer steps; at an epoch's end only after its dev pass."""
        due = trainer.global_step - self._saved_step >= self._every
        if due and stepped(trainer, batch_idx) and not trainer.is_last_batch:
            self._save_last(trainer, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the epoch's weights if asked, the best so far, and the state to resume from."""
        _refuse_not_finite(pl_module.model)
        epoch = self._log.epochs[-1]
        if self._keep_epochs:
            _write_weights(trainer, pl_module.model, epoch_folder(self._folder, epoch.epoch))
        if best_epoch(self._log.epochs) is epoch:
            _write_weights(trainer, pl_module.model, self._folder / BEST)
        self._save_last(trainer, pl_module)

    def _save_last(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        _refuse_not_finite(pl_module.model)
        trainer.save_checkpoint(self._folder / LAST)
        self._saved_step = trainer.global_step


class OwnSignals(Callback):
    """Keeps Lightning from meeting SIGTERM with a word to the other processes, which may be gone."""

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Put the handler back that there was before."""
        signal.signal(signal.SIGTERM, self._handler)


class ProgressReport(Callback):
    """Tells how many batches of the whole run are done."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Tell where a resumed run begins."""
        self._report(trainer.fit_loop.epoch_loop.batch_progress.total.completed)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell of each batch."""
        self._report(trainer.fit_loop.epoch_loop.batch_progress.total.ready)


def clear_folder(folder: Path) -> None:
    """Remove what an earlier run left in a checkpoint folder."""
    for name in (LAST, BEST, EPOCHS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (STEP_LOG, EPOCH_LOG):
        (folder / name).unlink(missing_ok=True)


def _write_weights(trainer: lightning.Trainer, model: Any, folder: Path) -> None:
    write = weights_writer(model)
    if trainer.is_global_zero:
        with write_directory_atomic(folder) as temporary:
            write(temporary)


def _refuse_not_finite(model: Any) -> None:
    for name, weight in trainable_weights(model).items():
        if not torch.isfinite(own_part(weight)).all():
            raise TrainingError(
                f"the weights of {name} are no longer finite numbers",
                remedy="the last good checkpoint is kept; try a lower --lr or a --gradient-clip",
            )
