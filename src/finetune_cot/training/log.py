"""The losses of a training run, kept as CSV files and given to the loggers."""

import csv
import io
import math
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback

from finetune_cot.artifacts.checkpoints import EPOCH_LOG, STEP_LOG
from finetune_cot.artifacts.files import write_text_atomic
from finetune_cot.batches.collation import Batch
from finetune_cot.errors import ArtifactError, TrainingError
from finetune_cot.training.choosing import dev_metrics
from finetune_cot.training.settings import EpochLosses

_STEP_COLUMNS = "step,epoch,train_loss,lr"


class TrainingLog(Callback):
    """Losses of every optimizer step and epoch, as CSV files that a resumed run continues.

    Args:
        folder: Where the files are.
        writes: Whether this process writes them; of several, one does.
    """

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self._writes = writes
        self.epochs: list[EpochLosses] = []
        self.samples_seen = 0
        self.seconds = 0.0
        self._folder = folder
        self._epoch_loss, self._epoch_tokens = 0.0, 0
        self._step_loss, self._step_tokens = 0.0, 0
        self._rate = 0.0
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The losses so far; saved with every checkpoint."""
        return {
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "epoch_loss": self._epoch_loss,
            "epoch_tokens": self._epoch_tokens,
            "samples_seen": self.samples_seen,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's losses."""
        self.epochs = [EpochLosses(**epoch) for epoch in state_dict["epochs"]]
        self._epoch_loss, self._epoch_tokens = state_dict["epoch_loss"], state_dict["epoch_tokens"]
        self.samples_seen, self.seconds = state_dict["samples_seen"], state_dict["seconds"]

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Drop the lines of steps that the checkpoint does not know."""
        if not self._writes:
            return
        path = self._folder / STEP_LOG
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines[1:] if _is_step_up_to(line, trainer.global_step)]
        write_text_atomic(path, "\n".join([_STEP_COLUMNS, *kept, ""]))
        self._write_epochs()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Any
    ) -> None:
        """Note the learning rate of the step."""
        self._rate = optimizer.param_groups[0]["lr"]

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the batch, and write a line for each optimizer step."""
        self._step_loss += outputs["loss_sum"]
        self._step_tokens += outputs["label_tokens"]
        self._epoch_loss += outputs["loss_sum"]
        self._epoch_tokens += outputs["label_tokens"]
        self.samples_seen += outputs["samples"]
        self.seconds += time.perf_counter() - self._started
        if stepped(trainer, batch_idx):
            self._log_step(trainer, self._step_loss / self._step_tokens)
            self._step_loss, self._step_tokens = 0.0, 0

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Record the epoch's losses.

        Raises:
            TrainingError: the dev loss is not a finite number.
        """
        by_task = {task: _mean(losses) for task, losses in sorted(pl_module.dev_losses.items())}
        losses = [loss for task_losses in pl_module.dev_losses.values() for loss in task_losses]
        dev_loss = _mean(losses) if losses else None
        if dev_loss is not None and not math.isfinite(dev_loss):
            raise TrainingError(
                f"the dev loss is {dev_loss} after epoch {trainer.current_epoch + 1}",
                remedy="the last good checkpoint is kept; try a lower --lr",
            )
        train_loss = self._epoch_loss / self._epoch_tokens
        self._epoch_loss, self._epoch_tokens = 0.0, 0
        epoch = trainer.current_epoch + 1
        metrics = dev_metrics(pl_module.dev_guesses)
        self.epochs.append(EpochLosses(epoch, trainer.global_step, train_loss, dev_loss, by_task, metrics))
        self._write_epochs()
        scores = {"epoch_train_loss": train_loss} | {f"dev_loss/{task}": by_task[task] for task in by_task}
        scores |= {f"dev/{name}": value for name, value in metrics.items()}
        _tell_loggers(trainer, scores | ({} if dev_loss is None else {"dev_loss": dev_loss}))

    def _log_step(self, trainer: lightning.Trainer, loss: float) -> None:
        if not self._writes:
            return
        path = self._folder / STEP_LOG
        try:
            with path.open("a", encoding="utf-8") as log:
                log.write(f"{trainer.global_step},{trainer.current_epoch + 1},{loss:.6f},{self._rate:.6g}\n")
        except OSError as error:
            raise ArtifactError(
                f"cannot be written: {error.strerror}",
                where=path,
                remedy="the last checkpoint is kept; free some space and run the command again",
            ) from error
        _tell_loggers(trainer, {"train_loss": loss, "lr": self._rate})

    def _write_epochs(self) -> None:
        if not self._writes:
            return
        tasks = sorted({task for epoch in self.epochs for task in epoch.dev_loss_by_task})
        metrics = sorted({name for epoch in self.epochs for name in epoch.dev_metrics})
        columns = [*(f"dev_loss_{task}" for task in tasks), *(f"dev_{name}" for name in metrics)]
        rows: list[list[object]] = [["epoch", "step", "train_loss", "dev_loss", *columns]]
        for epoch in self.epochs:
            by_task = [epoch.dev_loss_by_task.get(task, "") for task in tasks]
            measured = [epoch.dev_metrics.get(name, "") for name in metrics]
            rows.append([epoch.epoch, epoch.step, epoch.train_loss, epoch.dev_loss, *by_task, *measured])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_text_atomic(self._folder / EPOCH_LOG, text.getvalue())


def stepped(trainer: lightning.Trainer, batch_idx: int) -> bool:
    """Whether an optimizer step ended with this batch of the epoch."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch


def _is_step_up_to(line: str, step: int) -> bool:
    number = line.partition(",")[0]
    return number.isdigit() and int(number) <= step and line.count(",") == _STEP_COLUMNS.count(",")


def _tell_loggers(trainer: lightning.Trainer, scores: dict[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(scores, step=trainer.global_step)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    # Summed without rounding, so that the order of dev batches does not show.
    return math.fsum(numbers) / len(numbers)
