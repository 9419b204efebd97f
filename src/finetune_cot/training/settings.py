"""How a model is fine-tuned, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Processes:
    """The processes that train one model together, seen by one of them."""

    rank: int = 0
    world: int = 1
    """Processes on all machines."""
    devices: tuple[str, ...] = ()
    """Devices of the processes on this machine; none where the process is alone."""

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.world // max(1, len(self.devices))


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that the training loop needs to know beside model and data."""

    epochs: int
    lr: float
    optimizer: str = "adamw"
    """adamw, sgd, adamw_8bit, paged_adamw_8bit or paged_adamw_32bit."""
    weight_decay: float = 0.0
    schedule: str = "linear"
    """linear, cosine or constant, after warm-up."""
    warmup: float = 0.03
    """Share of the optimizer steps in which the learning rate rises."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient; 0 for none."""
    batch_size: int = 8
    """Samples of a batch, over all processes together."""
    inference_batch_size: int = 32
    accumulate: int = 1
    """Batches of an optimizer step."""
    precision: str = "32-true"
    """One of Lightning's names."""
    device: str = "cpu"
    """Such as cpu, cuda, cuda:1 or mps."""
    seed: int = 0
    checkpoint_every: int = 100
    """Optimizer steps between checkpoints within an epoch."""
    keep_epochs: bool = False
    only_outcome: bool = False
    """Whether only the losses at the end are wanted: no checkpoints, one dev pass after the last epoch."""
    gradient_checkpointing: bool = False
    strategy: str = "auto"
    """How processes train together, by Lightning's names; fsdp is PyTorch's ``fully_shard``."""
    processes: Processes = Processes()
    loggers: tuple[str, ...] = ()
    """Of tensorboard, trackio and wandb; the CSV files are always written."""


@dataclass(frozen=True)
class EpochLosses:
    """Losses at the end of an epoch, in nats a token."""

    epoch: int
    """From 1."""
    step: int
    """Optimizer steps done so far."""
    train_loss: float
    """Mean over the epoch's label tokens, each batch taken before the step that it is part of."""
    dev_loss: float | None
    """Mean over the dev samples of each sample's mean over its label tokens; None without a dev set."""
    dev_loss_by_task: Mapping[str, float] = field(default_factory=dict)
    dev_metrics: Mapping[str, float] = field(default_factory=dict)
    """Of a classifier, by names such as ``rte_accuracy``."""


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training run came to, interrupted parts that were kept included."""

    epochs: tuple[EpochLosses, ...]
    steps: int
    samples_seen: int
    """Samples trained on, each as often as it was."""
    seconds: float
    """Seconds from each batch's start to its end; dev passes and checkpoints are left out."""

    @property
    def best(self) -> EpochLosses:
        """The best epoch."""
        return best_epoch(self.epochs)


def best_epoch(epochs: Sequence[EpochLosses]) -> EpochLosses:
    """The epoch with the lowest dev loss, the first of equal ones; the last one without a dev set."""
    measured = [(epoch.dev_loss, epoch.epoch, epoch) for epoch in epochs if epoch.dev_loss is not None]
    return min(measured)[2] if measured else epochs[-1]
