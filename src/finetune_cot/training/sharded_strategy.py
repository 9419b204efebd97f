"""Training with divided weights, whose checkpoints are like those of a single device."""

from functools import partial
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy

from finetune_cot.training.sharding import part_of, whole, with_tensors
from finetune_cot.training.single_device_checkpoints import SingleDeviceCheckpoints


class ShardedStrategy(SingleDeviceCheckpoints, ModelParallelStrategy):
    """Lightning's strategy, whose checkpoints hold whole tensors and are written by the trainer's plugin.

    Args:
        world: Processes, each of which holds a part of every weight.
    """

    def __init__(self, world: int) -> None:
        super().__init__(data_parallel_size=world, tensor_parallel_size=1)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """An optimizer's state with whole tensors, as it is on a single device."""
        state: dict[str, Any] = with_tensors(getattr(optimizer, "_optimizer", optimizer).state_dict(), whole)
        return state

    def load_optimizer_state_dict(self, checkpoint: Any) -> None:
        """Take each process's part of the optimizers' states."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [item for group in optimizer.param_groups for item in group["params"]]
            parts = {
                number: with_tensors(values, partial(part_of, like=parameters[number]))
                for number, values in state["state"].items()
            }
            optimizer.load_state_dict({**state, "state": parts})
