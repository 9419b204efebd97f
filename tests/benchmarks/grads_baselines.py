"""What `tests/benchmarks/grads.py` measures against: a plain training step, and the published algorithm."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune_cot.batches.collation import Batch

LORA: dict[str, Any] = {"rank": 4, "alpha": 32.0, "dropout": 0.0, "targets": None, "seed": 0}


def parameters_of(model: Any) -> list[Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def training_step(model: Any, batch: Batch) -> None:
    """Forward and backward of the mean loss into the trainable parameters, as transformers computes it."""
    loss = model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels, use_cache=False
    ).loss
    torch.autograd.grad(loss, parameters_of(model))


def seed_projection(model: Any, dim: int) -> np.ndarray[Any, Any]:
    """A dense float64 Rademacher matrix of all parameters."""
    rows = sum(parameter.numel() for parameter in parameters_of(model))
    signs = 2.0 * np.random.default_rng(0).integers(0, 2, size=(rows, dim)) - 1.0
    scaled: np.ndarray[Any, Any] = signs / np.sqrt(dim)
    return scaled


def seed_features(model: Any, batch: Batch, projection: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The published way: one graph of the batch, walked back through once for each sample's mean margin."""
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
    features = []
    for place in range(len(batch.labels)):
        targets = batch.labels[place, 1:]
        labelled = targets != -100
        chances = logits[place, :-1][labelled].softmax(dim=-1)
        p = chances.gather(1, targets[labelled][:, None])
        margin = (p / (1 - p)).log().mean()
        grads = torch.autograd.grad(margin, parameters_of(model), retain_graph=True)
        flat = torch.cat([grad.flatten() for grad in grads]).numpy()
        features.append(flat @ projection)
    return np.stack(features)
