"""Estimates by forward passes: the step of each subset is set into the model, and every dev loss is measured.

The step Delta = P theta begins at W0, the last of the points that the gradients are used at: normally the
meta-initialization, or the pretrained model where the gradients are of it alone. theta is what the estimator
found from the features at that same point. So with several points only the last one counts here, whereas the
estimates to first order are means over all of them.
"""

import functools
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.artifacts.gradient_header import check_origin
from finetune_cot.artifacts.gradient_shards import fingerprint
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import read_manifest, start, write_manifest
from finetune_cot.artifacts.results import ResultRow, append_result, read_results
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.options import replace as changed
from finetune_cot.config.options import to_plain
from finetune_cot.errors import ArtifactError, ModelError, UsageError
from finetune_cot.estimation.estimates import Estimates
from finetune_cot.estimation.features import Subset
from finetune_cot.pipeline.devices import training_device
from finetune_cot.pipeline.gradient_pass import store_projector
from finetune_cot.pipeline.grads import gradients_origin
from finetune_cot.pipeline.meta_points import find_meta_training, point_weights
from finetune_cot.pipeline.progress import progress
from finetune_cot.pipeline.taken_gradients import TakenGradients
from finetune_cot.pipeline.train_checks import check_precision, settled_precision
from finetune_cot.pipeline.train_data import divide
from finetune_cot.pipeline.trainable import encode_parts, load_trainable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from finetune_cot.batches.collation import Batch
    from finetune_cot.gradients.projection import Projector

BATCH_TOKENS = 2048
"""Tokens of a batch of dev samples, filling included, at most."""


@dataclass(frozen=True)
class SteppingModel:
    """A model, loaded once, and what its steps begin at."""

    model: Any
    start: Mapping[str, "Tensor"]
    """Trainable weights at W0."""
    projector: "Projector"
    dev: Sequence["Batch"]
    autocast: "torch.dtype | None"


def forward_estimates(
    config: EstimateConfig,
    gradients: TakenGradients,
    subsets: Sequence[Subset],
    found: Sequence[Estimates],
    folder: Path,
) -> tuple[list[Estimates], float]:
    """Dev losses after the step of each subset, for every estimator that takes steps.

    The losses of each subset are kept as they are measured, so that an interrupted run goes on where it was.

    Args:
        config: The command's options.
        gradients: The opened gradients.
        subsets: Subsets of the tasks.
        found: Estimates to first order, with their steps; the first must have some.
        folder: Where the losses of each estimator's steps are kept.

    Returns:
        Estimates called ``<estimator>-forward``, and the seconds that those kept from earlier runs took.

    Raises:
        UsageError: the first estimator takes no step.
        ArtifactError: the gradients are of another model or other samples, or another run measures just now.
        ModelError: the model is not there, or a loss is no finite number.
    """
    if found[0].steps is None:
        raise UsageError(
            f"{found[0].method} takes no step that could be set into a model",
            where="--evaluate forward",
            remedy="give --estimator gradex or seed",
        )
    config = settled_precision(config)
    load = functools.cache(lambda: load_stepping_model(config, gradients))
    estimates, seconds = [], 0.0
    for item in found:
        if item.steps is None:
            continue
        path = folder / f"{item.method}.csv"
        step_of = dict(zip(subsets, item.steps, strict=True))
        with artifact_lock(path.with_suffix(".json"), "estimate"):
            rows = _kept_rows(path, config, gradients, item.method)
            missing = [subset for subset in step_of if subset not in rows]
            seconds += sum(rows[subset].seconds or 0.0 for subset in step_of.keys() & rows.keys())
            with progress(f"forward {item.method}", len(missing), "subsets") as report:
                for number, subset in enumerate(missing):
                    rows[subset] = _measured(load(), subset, step_of[subset])
                    append_result(path, rows[subset])
                    report(number + 1)
        losses = [
            [rows[subset].loss_by_task.get(task, math.nan) for task in gradients.tasks] for subset in subsets
        ]
        estimates.append(Estimates(np.array(losses), f"{item.method}-forward", is_loss=True))
    return estimates, seconds


def load_stepping_model(config: EstimateConfig, gradients: TakenGradients) -> SteppingModel:
    """Load the model that the gradients were taken of, and tokenize the dev samples.

    Raises:
        UsageError: the device or precision is not there.
        ArtifactError: the gradients are of another model, or of other samples.
        ModelError: the model or its meta-training is not there.
    """
    from finetune_cot.batches.budget import BudgetBatches
    from finetune_cot.models.loading import autocast_dtype
    from finetune_cot.training.weights import trainable_weights

    header = gradients.store.header
    device = training_device(config.devices)
    check_precision(config.precision, device)
    point = header.points[gradients.points[-1]]
    pretrained = header.origin["meta-training"] == "none"
    at_point = changed(config, compute_pretrained_outputs=pretrained, points=(point,))
    meta = find_meta_training(at_point, gradients.trained)
    data = gradients.data
    model, loaded = load_trainable(changed(config, load_model_dir=None), device, data.labels)
    origin = gradients_origin(config, meta, loaded)
    # Losses may well be measured in another precision than gradients were taken in.
    check_origin(gradients.folder, header.origin, {k: v for k, v in origin.items() if k != "precision"})
    dev = encode_parts(divide(data, config), data.template, config.max_length, loaded).dev
    if [item.sample_index for item in dev] != gradients.store.sample_index[gradients.store.is_dev].tolist():
        raise ArtifactError(
            "was made with other dev samples", where=gradients.folder, remedy="give the same --max-length"
        )
    initial = {name: weight.clone() for name, weight in trainable_weights(model).items()}
    batches = BudgetBatches(
        dev,
        BATCH_TOKENS,
        loaded.tokenizer.pad_token_id,
        encoder_decoder=loaded.model_type == "encoder_decoder",
    )
    model.eval()
    return SteppingModel(
        model,
        point_weights(meta, model, initial, config)[point],
        store_projector(header, initial, loaded.device),
        [batch.to(loaded.device) for batch in batches],
        autocast_dtype(config.precision),
    )


def losses_after_step(subject: SteppingModel, theta: Float[ndarray, " proj"]) -> dict[str, float]:
    """Each task's mean dev loss at W0 + P theta, in nats a token.

    Args:
        subject: The model; its trainable weights are left at W0 + P theta.
        theta: The projected step.
    """
    import torch

    from finetune_cot.training.loss import mean_sample_losses
    from finetune_cot.training.weights import set_trainable_weights

    delta = subject.projector.lift(torch.from_numpy(np.asarray(theta)))
    # Each step is taken from W0 itself, so that nothing adds up from subset to subset.
    set_trainable_weights(subject.model, {name: at + delta[name] for name, at in subject.start.items()})
    losses = defaultdict(list)
    for batch in subject.dev:
        device = batch.input_ids.device.type
        with torch.autocast(device, subject.autocast, enabled=subject.autocast is not None):
            found = mean_sample_losses(subject.model, batch)
        for task, loss in zip(batch.tasks, found.tolist(), strict=True):
            losses[task].append(loss)
    return {task: float(np.mean(of_task)) for task, of_task in sorted(losses.items())}


def _measured(subject: SteppingModel, subset: Subset, theta: Float[ndarray, " proj"]) -> ResultRow:
    started = time.perf_counter()
    losses = losses_after_step(subject, theta)
    mean = float(np.mean(list(losses.values())))
    if not math.isfinite(mean):
        raise ModelError(
            "the loss after the step is no finite number",
            where=f"subset {' '.join(map(str, subset))}",
            remedy="give a smaller --scale, or --precision 32-true",
        )
    return ResultRow(subset, mean, losses, seconds=round(time.perf_counter() - started, 3))


def _kept_rows(
    path: Path, config: EstimateConfig, gradients: TakenGradients, method: str
) -> dict[Subset, ResultRow]:
    """Losses that are there already; those of other steps make room for new ones."""
    header = gradients.store.header
    inputs = {
        "gradients": fingerprint(header),
        "point": header.points[gradients.points[-1]],
        "steps": f"{method} {gradients.settings}",
        "precision": config.precision,
    }
    manifest = path.with_suffix(".json")
    if manifest.exists() and read_manifest(manifest).inputs == inputs:
        return {row.task_indices: row for row in read_results(path)} if path.exists() else {}
    path.unlink(missing_ok=True)
    write_manifest(manifest, start("estimate", to_plain(config)).manifest(inputs=inputs))
    return {}
