"""Optimizers by name: PyTorch's, and those of bitsandbytes, whose state is small or paged."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

_BITS_AND_BYTES = {
    "adamw_8bit": "AdamW8bit",
    "paged_adamw_8bit": "PagedAdamW8bit",
    "paged_adamw_32bit": "PagedAdamW32bit",
}


def make_optimizer(
    name: str, parameters: Sequence[nn.Parameter], *, lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """An optimizer of the parameters.

    Args:
        name: adamw, sgd (without momentum), or one of bitsandbytes (Dettmers et al. 2022).
        parameters: What it is to change.
        lr: Learning rate.
        weight_decay: Of AdamW decoupled from the gradient, of SGD added to it.
    """
    kind: Any
    if name in _BITS_AND_BYTES:
        import bitsandbytes

        kind = getattr(bitsandbytes.optim, _BITS_AND_BYTES[name])
    else:
        kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    optimizer: torch.optim.Optimizer = kind(parameters, lr=lr, weight_decay=weight_decay)
    return optimizer
