"""Per-sample gradients as one would write them down: autograd on one sample at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from finetune_cot.batches.collation import collate
from finetune_cot.batches.encoding import IGNORED, EncodedExample
from finetune_cot.models.naming import weight_name
from finetune_cot.training.weights import trainable_weights
from tests.gradients.families import PAD

Measure = Callable[[Any, EncodedExample], tuple[torch.Tensor, torch.Tensor]]
"""Margin and loss of a sample."""


class Exact:
    """Keeps gradients as they are, side by side in the order of the parameters' names."""

    def __init__(self, model: Any) -> None:
        self.shapes: Mapping[str, torch.Size] = {
            name: weight.shape for name, weight in sorted(trainable_weights(model).items())
        }
        self.width = sum(shape.numel() for shape in self.shapes.values())

    def add(self, out: torch.Tensor, name: str, grads: torch.Tensor) -> None:
        start = 0
        for other, shape in self.shapes.items():
            if other == name:
                out[:, start : start + shape.numel()] += grads
                return
            start += shape.numel()
        raise KeyError(name)


def margin_and_loss(model: Any, example: EncodedExample) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean margin and mean loss over the label tokens, by their definitions, in float64."""
    batch = collate([example], PAD)
    if model.config.is_encoder_decoder:
        logits = model(input_ids=batch.input_ids, labels=batch.labels).logits[0]
        targets = batch.labels[0]
    else:
        logits = model(input_ids=batch.input_ids).logits[0, :-1]
        targets = batch.labels[0, 1:]
    rows = logits[targets != IGNORED].double()
    logs = rows.log_softmax(dim=-1).gather(1, targets[targets != IGNORED][:, None])[:, 0]
    return (logs - torch.log1p(-logs.exp())).mean(), -logs.mean()


def one_by_one(
    model: Any, examples: list[EncodedExample], quantity: str, measured: Measure = margin_and_loss
) -> torch.Tensor:
    """Gradients by sample in the order of `Exact`."""
    named = {
        weight_name(name): parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    rows = []
    for example in examples:
        margin, loss = measured(model, example)
        grads = torch.autograd.grad(
            margin if quantity == "margin" else loss,
            [named[name] for name in sorted(named)],
            allow_unused=True,
            materialize_grads=True,
        )
        rows.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(rows)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest distance of a sample's gradient from the expected one, over the latter's length."""
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())
