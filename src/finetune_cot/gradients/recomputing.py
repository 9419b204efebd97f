"""Values of non-linearities are computed again in the backward pass: a third of what a gated block keeps."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

_FUNCTIONS: dict[str, Callable[[Any], Tensor]] = {
    "SiluBackward0": lambda node: functional.silu(node._saved_self),
    "GeluBackward0": lambda node: functional.gelu(node._saved_self, approximate=node._saved_approximate),
}
"""The value of a non-linearity by its step of the backward pass, which keeps what it was computed from."""


@dataclass(frozen=True)
class _Again:
    """Stands for a value that another step of the backward pass needs."""

    node: Any


@contextlib.contextmanager
def recomputed_activations() -> Iterator[None]:
    """Within, autograd keeps what SiLU and GELU are computed from, and not what comes of it."""

    def pack(value: Tensor) -> Tensor | _Again:
        node = value.grad_fn
        return _Again(node) if node is not None and node.name() in _FUNCTIONS else value

    def unpack(kept: Tensor | _Again) -> Tensor:
        return _FUNCTIONS[kept.node.name()](kept.node) if isinstance(kept, _Again) else kept

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield
