"""Checkpoints of a single device, also where several devices divide what is trained."""

from typing import Any

from lightning.pytorch.strategies import Strategy


class SingleDeviceCheckpoints(Strategy):
    """What a strategy of Lightning that divides a training takes instead of its own checkpoints.

    It stands before that strategy among the bases. The trainer's plugin writes the file; the strategy itself
    says what the optimizer's whole state is (`optimizer_state`), and takes its part of one
    (`load_optimizer_state_dict`).
    """

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Lightning gives the optimizer's state to `load_optimizer_state_dict`."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Nothing: weights have a file of their own."""
        return {}

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write one checkpoint, from the first process."""
        Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, in every process."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only)
