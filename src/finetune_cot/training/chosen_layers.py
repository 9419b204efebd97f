"""Which layers of a model are trained: all of them, or those that patterns name."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from finetune_cot.errors import UsageError
from finetune_cot.models.classification import head_parameters, is_classifier


def choose_layers(model: Any, patterns: Sequence[str] | None, *, freeze_head: bool = False) -> Any:
    """Make the weights of the chosen layers trainable, and freeze all others.

    Args:
        model: A transformers model; changed in place.
        patterns: Names of modules or ends of names, with ``*`` and ``?``, such as ``layers.29.mlp``;
            ``last-2`` for the last two blocks, of encoder and decoder alike; None for all layers.
        freeze_head: Whether the head is frozen all the same, and with it what shares its weights.

    Raises:
        UsageError: a pattern names nothing that has weights, or nothing is left to train.
    """
    model.requires_grad_(patterns is None)
    for pattern in patterns or ():
        parameters = [parameter for layer in _named(model, pattern) for parameter in layer.parameters()]
        if not parameters:
            raise UsageError(
                f"no layer of this model is called {pattern}",
                where="--train-layers",
                remedy=f"try last-2, or such as {', '.join(_like(pattern, model))}",
            )
        for parameter in parameters:
            parameter.requires_grad_(True)
    # A classifier's head is new, so that it is trained with whatever else is.
    for parameter in head_parameters(model).values():
        parameter.requires_grad_(not freeze_head)
    if freeze_head and not is_classifier(model):
        model.get_output_embeddings().requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UsageError(
            "leaves nothing to train", where="--freeze-head", remedy="name other layers with --train-layers"
        )
    return model


def _named(model: nn.Module, pattern: str) -> list[nn.Module]:
    last = re.fullmatch(r"last-([1-9]\d*)", pattern)
    if last:
        return [block for stack in _stacks(model) for block in stack[-int(last[1]) :]]
    # A dot before both, so that q_proj is the end of a name and proj is not.
    return [layer for name, layer in model.named_modules() if fnmatchcase(f".{name}", f"*.{pattern}")]


def _stacks(model: nn.Module) -> Iterator[nn.ModuleList]:
    """The outermost lists of modules: a decoder's blocks, or those of encoder and decoder."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _stacks(child)


def _like(pattern: str, model: nn.Module) -> list[str]:
    """Names of a few layers with weights of their own, the most similar first."""
    names = [name for name, layer in model.named_modules() if layer._parameters]
    return get_close_matches(pattern, names, n=4, cutoff=0.0)
