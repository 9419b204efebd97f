import contextlib
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as functional
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from finetune_cot.gradients.recomputing import recomputed_activations

NON_LINEARITIES = (
    functional.silu,
    functional.gelu,
    lambda value: functional.gelu(value, approximate="tanh"),
    functional.relu,
)


@pytest.mark.parametrize("function", NON_LINEARITIES)
def test_gradients_are_the_same_to_the_last_bit(function: nn.Module) -> None:
    torch.manual_seed(0)
    x, gate, up = torch.randn(5, 8), torch.randn(8, 16), torch.randn(8, 16)
    found = []
    for recomputed in (False, True):
        inputs = x.clone().requires_grad_()
        if recomputed:
            with recomputed_activations():
                out = function(inputs @ gate) * (inputs @ up)
        else:
            out = function(inputs @ gate) * (inputs @ up)
        found.append(torch.autograd.grad(out.sin().sum(), inputs)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize(("hooks", "kept"), [(contextlib.nullcontext, True), (recomputed_activations, False)])
def test_the_value_is_not_kept(
    hooks: Callable[[], contextlib.AbstractContextManager[None]], kept: bool
) -> None:
    gate = torch.randn(4, 8, requires_grad=True)
    with hooks():
        value = functional.silu(gate * 2)
        memory = StorageWeakRef(value.untyped_storage())
        product = value * value
    del value
    assert memory.expired() is not kept
    assert product.grad_fn is not None
