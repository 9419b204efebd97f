"""The error of margins taken to first order, by the distance from where gradients are taken.

For a step Delta from the weights W0, with the gradient g of a sample's margin m (method.md, "Approximation
error"), the mean over samples of

    ((m(W0) + g . Delta - m(W0 + Delta)) / max(|m(W0)|, |m(W0 + Delta)|))^2

and the same without g . Delta. W0 is the last of the points. A direction is the step that GradEx finds for
three quarters of the tasks, lifted to weights; g . Delta is exact, not an inner product of projections.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.artifacts.files import write_json_atomic
from finetune_cot.artifacts.gradient_store import open_store
from finetune_cot.estimation.estimates import EstimatorSettings
from finetune_cot.estimation.features import Features, Subset, load_features
from finetune_cot.estimation.gradex import gradex_steps
from finetune_cot.pipeline.gradient_pass import GradientWork
from finetune_cot.pipeline.progress import progress

if TYPE_CHECKING:
    from torch import Tensor

    from finetune_cot.batches.collation import Batch
    from finetune_cot.gradients.projection import Projector

APPROXIMATION = "approximation.json"
DISTANCES = (0.02, 0.04, 0.06, 0.08, 0.1)
"""Norms of the steps beside that of W0."""
SEEDS = 5
SHARE = 0.75
"""Of the tasks that a direction is of."""


@dataclass(frozen=True)
class ErrorAtDistance:
    """Mean relative squared error over samples and seeds, and its standard deviation over seeds."""

    distance: float
    """|Delta| / |W0|."""
    with_gradient: float
    with_gradient_std: float
    without_gradient: float
    without_gradient_std: float


def check_approximation(
    work: GradientWork, model: Any, projector: "Projector", folder: Path
) -> tuple[ErrorAtDistance, ...]:
    """Measure the errors, and write them as ``approximation.json`` into the store's folder.

    Args:
        work: What the store was filled from.
        model: The model; its trainable weights are changed.
        projector: The store's.
        folder: The finished store.

    Raises:
        DataError: there are no dev samples.
        ModelError: a margin or gradient is not a number.
    """
    features = load_features(open_store(folder, verify=False), [len(work.points) - 1])
    thetas = gradex_steps(features, 0, task_draws(features, work.config.seed), EstimatorSettings())
    norm = float(features.weight_norms[0])
    directions = [_of_norm(projector.lift(_tensor(theta)), norm) for theta in thetas]
    batches = _drawn_batches(work)
    start = list(work.points.values())[-1]
    slopes = _slopes(work, model, batches, start, directions)
    at_start = _margins(work, model, batches, start)
    found = np.empty((2, len(DISTANCES), SEEDS))
    with progress("approximation", found[0].size, "steps") as report:
        for seed, direction in enumerate(directions):
            for place, distance in enumerate(DISTANCES):
                step = {name: weight + distance * direction[name] for name, weight in start.items()}
                moved = _margins(work, model, batches, step)
                first_order = at_start + distance * slopes[:, seed]
                scale = np.maximum(np.abs(at_start), np.abs(moved))
                for kind, told in enumerate((first_order, at_start)):
                    found[kind, place, seed] = np.mean(((told - moved) / scale) ** 2)
                report(seed * len(DISTANCES) + place + 1)
    written = {
        "distances": list(DISTANCES),
        "with_gradient": found[0].tolist(),
        "without_gradient": found[1].tolist(),
        "point": work.header.points[-1],
        "samples": len(at_start),
    }
    write_json_atomic(folder / APPROXIMATION, written)
    means, stds = found.mean(axis=2), found.std(axis=2, ddof=1)
    columns = zip(DISTANCES, means[0], stds[0], means[1], stds[1], strict=True)
    return tuple(ErrorAtDistance(*map(float, column)) for column in columns)


def task_draws(features: Features, seed: int) -> list[Subset]:
    """Three quarters of the tasks that have training samples, drawn anew for each direction."""
    tasks = np.unique(features.train_task)
    count = max(1, round(SHARE * len(tasks)))
    randoms = [np.random.default_rng([seed, number]) for number in range(SEEDS)]
    return [tuple(sorted(random.choice(tasks, count, replace=False).tolist())) for random in randoms]


def _of_norm(weights: Mapping[str, "Tensor"], norm: float) -> dict[str, "Tensor"]:
    found = math.sqrt(sum(float(weight.pow(2).sum()) for weight in weights.values()))
    return {name: weight * (norm / found) for name, weight in weights.items()}


def _tensor(theta: Float[ndarray, " proj"]) -> "Tensor":
    import torch

    return torch.from_numpy(theta)


def _drawn_batches(work: GradientWork) -> list["Batch"]:
    """Batches of some of the samples, training and dev samples alike."""
    from finetune_cot.batches.budget import BudgetBatches

    count = min(work.config.approximation_samples, len(work.examples))
    drawn = np.random.default_rng(work.config.seed).choice(len(work.examples), count, replace=False)
    device = next(iter(next(iter(work.points.values())).values())).device
    batches = BudgetBatches(
        [work.examples[place] for place in sorted(drawn.tolist())],
        work.config.batch_tokens,
        work.pad_token_id,
        encoder_decoder=work.encoder_decoder,
    )
    return [batch.to(device) for batch in batches]


def _slopes(
    work: GradientWork,
    model: Any,
    batches: Sequence["Batch"],
    start: Mapping[str, "Tensor"],
    directions: Sequence[Mapping[str, "Tensor"]],
) -> Float[ndarray, "samples directions"]:
    """The term g . Delta of every sample and direction, by one backward pass a batch."""
    from finetune_cot.gradients.directions import Directions
    from finetune_cot.gradients.per_sample import recording
    from finetune_cot.models.loading import autocast_dtype
    from finetune_cot.training.weights import set_trainable_weights

    set_trainable_weights(model, start)
    with recording(model, Directions(directions), autocast=autocast_dtype(work.config.precision)) as record:
        return np.concatenate([record(batch, "margin").features.cpu().numpy() for batch in batches])


def _margins(
    work: GradientWork, model: Any, batches: Sequence["Batch"], weights: Mapping[str, "Tensor"]
) -> Float[ndarray, " samples"]:
    """Mean margins over the label tokens of every sample, by forward passes at some weights."""
    import torch

    from finetune_cot.batches.encoding import IGNORED
    from finetune_cot.gradients.margins import margins_
    from finetune_cot.models.loading import autocast_dtype
    from finetune_cot.training.loss import logits_and_targets
    from finetune_cot.training.weights import set_trainable_weights

    set_trainable_weights(model, weights)
    model.eval()
    autocast = autocast_dtype(work.config.precision)
    means = []
    for batch in batches:
        with (
            torch.no_grad(),
            torch.autocast(batch.input_ids.device.type, autocast, enabled=autocast is not None),
        ):
            logits, targets = logits_and_targets(model, batch)
        labelled = targets != IGNORED
        margins = torch.zeros(targets.shape, device=targets.device)
        margins[labelled] = margins_(logits.float(), targets[labelled]).margins
        means.append((margins.sum(dim=1) / labelled.sum(dim=1)).cpu().numpy())
    return np.concatenate(means)
