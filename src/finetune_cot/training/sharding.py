"""Weights divided between devices (FSDP, Zhao et al. 2023), gathered and divided again.

PyTorch's ``fully_shard`` makes each weight a ``DTensor``, of which every process holds a part. Gathering one
is a common act: all processes must do it, in the same order.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(model: Any, mesh: Any) -> None:
    """Divide a model's weights between the devices, block by block, so that one block is whole at a time.

    Args:
        model: A transformers model or PEFT adapter on one; changed in place.
        mesh: Lightning's mesh of the devices.
    """
    from torch.distributed.fsdp import fully_shard

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    blocks = set(base._no_split_modules or ())
    for part in list(base.modules()):
        if type(part).__name__ in blocks:
            fully_shard(part, mesh=mesh["data_parallel"])
    fully_shard(model, mesh=mesh["data_parallel"])


def is_sharded(model: Any) -> bool:
    """Whether a model's weights are divided between devices."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from all processes, on the CPU; one that is not divided is left as it is."""
    return tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def put_into(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor's values, or this process's part of them."""
    with torch.no_grad():
        target.copy_(part_of(value, target))


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor divided as another is; counters and the like stay whole."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def with_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Nested dicts and lists with their tensors changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: with_tensors(item, change) for key, item in value.items()}
    return [with_tensors(item, change) for item in value] if isinstance(value, list) else value
