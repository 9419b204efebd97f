"""What happens beside the training loop: the log, the checkpoints, and word of progress."""

import csv
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from finetune_cot.artifacts.checkpoints import BEST, EPOCH_LOG, EPOCHS, LAST, STEP_LOG, epoch_folder
from finetune_cot.artifacts.files import write_directory_atomic, write_text_atomic
from finetune_cot.batches.collation import Batch
from finetune_cot.errors import TrainingError
from finetune_cot.training.settings import EpochLosses
from finetune_cot.training.weights import save_weights, trainable_weights


class TrainingLog(Callback):
    """Losses of every optimizer step and epoch, as CSV files that a resumed run continues."""

    def __init__(self, folder: Path) -> None:
        self.epochs: list[EpochLosses] = []
        self.samples_seen = 0
        self.seconds = 0.0
        self._folder = folder
        self._loss_sum = 0.0
        self._batches = 0
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The losses so far; saved with every checkpoint."""
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "loss_sum": self._loss_sum,
            "batches": self._batches,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's losses."""
        self.epochs = [EpochLosses(**epoch) for epoch in state_dict["epochs"]]
        self._loss_sum, self._batches = state_dict["loss_sum"], state_dict["batches"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Drop the lines of steps that the checkpoint does not know."""
        path = self._folder / STEP_LOG
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines[1:] if _is_step_up_to(line, trainer.global_step)]
        write_text_atomic(path, "\n".join(["step,epoch,train_loss,lr", *kept, ""]))
        self._write_epochs()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the batch, and write a line for each optimizer step."""
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        self._loss_sum += loss
        self._batches += 1
        self.samples_seen += len(batch.tasks)
        self.seconds += time.perf_counter() - self._started
        if _stepped(trainer, batch_idx):
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            with (self._folder / STEP_LOG).open("a", encoding="utf-8") as log:
                log.write(f"{trainer.global_step},{trainer.current_epoch + 1},{loss:.6f},{rate:.6g}\n")

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Record the epoch's losses."""
        by_task = {task: sum(losses) / len(losses) for task, losses in sorted(pl_module.dev_losses.items())}
        losses = [loss for task in pl_module.dev_losses.values() for loss in task]
        self.epochs.append(
            EpochLosses(
                epoch=trainer.current_epoch + 1,
                step=trainer.global_step,
                train_loss=self._loss_sum / self._batches,
                dev_loss=sum(losses) / len(losses) if losses else None,
                dev_loss_by_task=by_task,
            )
        )
        self._loss_sum, self._batches = 0.0, 0
        self._write_epochs()
        for logger in trainer.loggers:
            scores = {"dev_loss": self.epochs[-1].dev_loss or 0.0, "train_loss": self.epochs[-1].train_loss}
            logger.log_metrics(scores | {f"dev_loss/{task}": loss for task, loss in by_task.items()})

    def _write_epochs(self) -> None:
        tasks = sorted({task for epoch in self.epochs for task in epoch.dev_loss_by_task})
        rows: list[list[object]] = [
            ["epoch", "step", "train_loss", "dev_loss", *(f"dev_loss_{task}" for task in tasks)]
        ]
        for epoch in self.epochs:
            by_task = [epoch.dev_loss_by_task.get(task, "") for task in tasks]
            rows.append([epoch.epoch, epoch.step, epoch.train_loss, epoch.dev_loss, *by_task])
        write_text_atomic(self._folder / EPOCH_LOG, _csv_text(rows))


class Checkpoints(Callback):
    """The last checkpoint, from which a run resumes, and the best and each epoch's weights."""

    def __init__(self, folder: Path, log: TrainingLog, every: int, keep_epochs: bool) -> None:
        self._folder = folder
        self._log = log
        self._every = every
        self._keep_epochs = keep_epochs
        self._saved_step = 0

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
        if due and _stepped(trainer, batch_idx) and not trainer.is_last_batch:
            self._save_last(trainer, pl_module)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Count steps from the checkpoint that was resumed."""
        self._saved_step = trainer.global_step

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Keep the epoch's weights if asked, the best so far, and the state to resume from."""
        _refuse_not_finite(pl_module.model)
        epoch = self._log.epochs[-1]
        if self._keep_epochs:
            _write_weights(pl_module.model, epoch_folder(self._folder, epoch.epoch))
        losses = [earlier.dev_loss for earlier in self._log.epochs if earlier.dev_loss is not None]
        if not losses or epoch.dev_loss == min(losses):
            _write_weights(pl_module.model, self._folder / BEST)
        self._save_last(trainer, pl_module)

    def _save_last(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        _refuse_not_finite(pl_module.model)
        trainer.save_checkpoint(self._folder / LAST)
        self._saved_step = trainer.global_step


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
        self._report(trainer.fit_loop.epoch_loop.batch_progress.total.processed)


def clear_folder(folder: Path) -> None:
    """Remove what an earlier run left in a checkpoint folder."""
    for name in (LAST, BEST, EPOCHS):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (STEP_LOG, EPOCH_LOG):
        (folder / name).unlink(missing_ok=True)


def _stepped(trainer: lightning.Trainer, batch_idx: int) -> bool:
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch


def _is_step_up_to(line: str, step: int) -> bool:
    number = line.partition(",")[0]
    return number.isdigit() and int(number) <= step and line.count(",") == 3


def _write_weights(model: Any, folder: Path) -> None:
    with write_directory_atomic(folder) as temporary:
        save_weights(model, temporary)


def _refuse_not_finite(model: Any) -> None:
    for name, weight in trainable_weights(model).items():
        if not torch.isfinite(weight).all():
            raise TrainingError(
                f"the weights of {name} are no longer finite numbers",
                remedy="the last good checkpoint is kept; try a lower --lr or a --gradient-clip",
            )


def _csv_text(rows: list[list[object]]) -> str:
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
