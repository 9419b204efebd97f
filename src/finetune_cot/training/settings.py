"""How a model is fine-tuned, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that the training loop needs to know beside model and data."""

    epochs: int
    lr: float
    weight_decay: float
    schedule: str
    """linear, cosine or constant, after warm-up."""
    warmup: float
    """Share of the optimizer steps in which the learning rate rises."""
    gradient_clip: float
    """Largest norm of the gradient; 0 for none."""
    batch_size: int
    inference_batch_size: int
    accumulate: int
    """Batches of an optimizer step."""
    precision: str
    accelerator: str
    seed: int
    checkpoint_every: int
    """Optimizer steps between checkpoints within an epoch."""
    keep_epochs: bool
    gradient_checkpointing: bool = False
    loggers: tuple[str, ...] = ()


@dataclass(frozen=True)
class EpochLosses:
    """Losses at the end of an epoch, in nats a token."""

    epoch: int
    """From 1."""
    step: int
    """Optimizer steps done so far."""
    train_loss: float
    """Mean over the epoch's batches, each taken before its step."""
    dev_loss: float | None
    """Mean over the dev samples; None without a dev set."""
    dev_loss_by_task: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training run came to."""

    epochs: tuple[EpochLosses, ...]
    steps: int
    samples_seen: int
    """Samples processed by this process, resumed parts left out."""
    seconds: float
    """Seconds of this process's training, dev passes left out."""

    @property
    def best(self) -> EpochLosses:
        """The epoch with the lowest dev loss; the last one without a dev set."""
        measured = [epoch for epoch in self.epochs if epoch.dev_loss is not None]
        return min(measured, key=lambda epoch: epoch.dev_loss or 0.0) if measured else self.epochs[-1]
