"""The Lightning module: losses, optimizer, and what of it goes into a checkpoint."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from transformers import get_scheduler

from finetune_cot.batches.collation import Batch, ShuffledBatches
from finetune_cot.errors import TrainingError
from finetune_cot.models.loading import weights_dtype
from finetune_cot.training import freed_memory
from finetune_cot.training.choosing import Guess
from finetune_cot.training.loss import logits_and_targets, losses_of, sample_losses
from finetune_cot.training.optimizers import make_optimizer
from finetune_cot.training.settings import TrainingSettings
from finetune_cot.training.sharding import shard
from finetune_cot.training.weights import (
    fitting_weights,
    read_weights,
    set_trainable_weights,
    weights_writer,
)


class FineTuning(lightning.LightningModule):
    """Fine-tunes a model's trainable parameters on label tokens, and measures the dev loss of each task.

    Args:
        model: A transformers model or PEFT adapter on one.
        settings: Learning rate, schedule and the like.
        total_steps: Optimizer steps of the whole run, for the schedule.
        batches: The training batches, whose position goes into a checkpoint.
    """

    def __init__(
        self, model: Any, settings: TrainingSettings, total_steps: int, batches: ShuffledBatches
    ) -> None:
        super().__init__()
        self.strict_loading = False  # no weight is left to Lightning: see on_load_checkpoint
        self.model = model
        self.batches = batches
        self.settings = settings
        self.total_steps = total_steps
        self.dev_losses: dict[str, list[float]] = defaultdict(list)
        """Losses of the dev samples of each task, from the last pass over the dev set."""
        self.dev_guesses: dict[str, list[Guess]] = defaultdict(list)
        """What a classifier said of the dev samples, by whose labels they chose from."""

    def configure_model(self) -> None:
        """Divide the weights between the devices, where they are to be."""
        if self.settings.strategy == "fsdp":
            # Weights of one number format alone can be divided together.
            shard(self.model.to(weights_dtype(self.settings.precision)), self.device_mesh)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch's tensors."""
        return batch.to(device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by the batch's place in the run and the process: a resumed run draws the same."""
        rank = [self.global_rank] if self.global_rank else []
        place = np.random.SeedSequence([self.settings.seed, self.current_epoch, batch_idx, *rank])
        torch.manual_seed(int(place.generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The batch's part of the optimizer step's loss, the mean over all label tokens of its batches.

        So the step is that of one large batch, however many label tokens each of its parts has, and on
        however many devices they are.

        Raises:
            TrainingError: the loss is not a finite number.
        """
        losses, tokens = sample_losses(self.model, batch)
        loss_sum = losses.sum() * (not batch.is_filler)
        counted = [loss_sum.detach(), tokens.sum() * (not batch.is_filler), len(batch.tasks)]
        value, label_tokens, samples = self._over_processes(counted)
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} in epoch {self.current_epoch + 1}, step {self.global_step + 1}",
                remedy="the last good checkpoint is kept; try a lower --lr, or bf16-mixed for 16-mixed",
            )
        # Lightning divides by the number of batches of a step, even of a last one that has fewer, and the
        # gradients of several processes are averaged.
        parts = self.settings.accumulate * self.settings.processes.world
        loss = loss_sum * (parts / batch.step_label_tokens)
        return {"loss": loss, "loss_sum": value, "label_tokens": int(label_tokens), "samples": int(samples)}

    def on_validation_epoch_start(self) -> None:
        """Forget the last pass, and give back what training leaves, which is no use to so large tensors."""
        if self.settings.device == "cpu":
            freed_memory.give_back()
        self.dev_losses.clear()
        self.dev_guesses.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the loss of each dev sample under its task, and what a classifier chose."""
        logits, targets = logits_and_targets(self.model, batch)
        if batch.is_filler:
            return
        losses, tokens = losses_of(logits, targets, batch.choices)
        for task, loss in zip(batch.tasks, (losses / tokens).tolist(), strict=True):
            self.dev_losses[task].append(loss)
        if batch.choices:
            pairs = zip(batch.choices.guesses(logits), batch.choices.right(targets), strict=True)
            for label_set, pair in zip(batch.choices.label_sets, pairs, strict=True):
                self.dev_guesses[label_set].append(pair)

    def on_validation_epoch_end(self) -> None:
        """Put together what all processes found."""
        if self.settings.processes.world == 1:
            return
        parts: list[Any] = [None] * self.settings.processes.world
        distributed: Any = torch.distributed
        own = (dict(self.dev_losses), dict(self.dev_guesses))
        distributed.all_gather_object(parts, own)
        self.dev_losses.clear()
        self.dev_guesses.clear()
        for losses, guesses in parts:
            for task, found in losses.items():
                self.dev_losses[task] += found
            for label_set, pairs in guesses.items():
                self.dev_guesses[label_set] += pairs

    def configure_optimizers(self) -> Any:
        """The optimizer of the trainable parameters; the schedule counts optimizer steps."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        settings = self.settings
        optimizer = make_optimizer(
            settings.optimizer, parameters, lr=settings.lr, weight_decay=settings.weight_decay
        )
        name = "constant_with_warmup" if self.settings.schedule == "constant" else self.settings.schedule
        warmup_steps = round(self.settings.warmup * self.total_steps)
        scheduler = get_scheduler(name, optimizer, warmup_steps, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _over_processes(self, numbers: list[Any]) -> list[float]:
        """The sum of each number over the processes."""
        if self.settings.processes.world == 1:
            return [float(number) for number in numbers]
        summed = torch.tensor([float(number) for number in numbers], dtype=torch.float64, device=self.device)
        found: list[float] = self.trainer.strategy.reduce(summed, reduce_op="sum").tolist()
        return found

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the weights to a file of their own, in the form that PEFT or transformers reads."""
        checkpoint["state_dict"] = {}
        # Lightning keeps the position too, but does not set it where an epoch had just ended.
        checkpoint["batches"] = self.batches.state_dict()
        checkpoint["write_weights"] = weights_writer(self.model)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the trainable weights back; every one must be there."""
        folder: Path = checkpoint["folder"]
        weights = fitting_weights(self.model, read_weights(folder), folder)
        set_trainable_weights(self.model, weights, where=folder)
        self.batches.load_state_dict(checkpoint["batches"])
