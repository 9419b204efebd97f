"""``ftcot grads``: one projected gradient of every sample, kept in a store."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from finetune_cot.artifacts.gradient_store import (
    StoreHeader,
    finish_store,
    shard_positions,
    writing_store,
)
from finetune_cot.artifacts.ids import GradientsId
from finetune_cot.artifacts.manifest import peak_memory_bytes, start, write_manifest
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.options import replace as changed
from finetune_cot.config.options import to_plain
from finetune_cot.errors import UsageError
from finetune_cot.models.registry import check_available
from finetune_cot.pipeline.approximation import ErrorAtDistance, check_approximation
from finetune_cot.pipeline.classifying import check_scores
from finetune_cot.pipeline.devices import rank_device
from finetune_cot.pipeline.gradient_pass import GradientWork, real_tokens, store_projector, take_shards
from finetune_cot.pipeline.meta_points import MetaTraining, find_meta_training, point_weights, weight_norms
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.ranks import Ranks, joined
from finetune_cot.pipeline.subject import start_digest
from finetune_cot.pipeline.train_checks import (
    check_method,
    check_precision,
    settled_method,
    settled_precision,
)
from finetune_cot.pipeline.train_data import divide, read_training_data, texts_digest, trained_name
from finetune_cot.pipeline.trainable import Examples, encode_parts, load_trainable, trained_part

if TYPE_CHECKING:
    import torch

    from finetune_cot.gradients.projection import Projector
    from finetune_cot.models.loading import LoadedModel


@dataclass(frozen=True)
class GradsResult:
    """What was taken."""

    path: Path
    samples: int
    """Train and dev samples together."""
    tokens: int
    """Tokens that went through the model in this run, filling included, at all points."""
    parameters: int
    """Trainable weights, D."""
    dim: int
    """Numbers of a sample at a point."""
    seconds: float
    """Forward and backward passes, projection and writing."""
    seconds_per_sample: float | None
    """Of a sample at a point that was computed in this run."""
    peak_memory_bytes: int
    reused_samples: int
    """Samples that were in the store already."""
    points: tuple[str, ...] = ()
    slow_layers: tuple[str, ...] = ()
    """Types of layers whose gradients were taken one sample at a time."""
    tokens_per_real_token: float | None = None
    approximation: tuple[ErrorAtDistance, ...] = ()
    """With ``--check-approximation``, the first-order approximation's error by distance."""
    plan: Mapping[str, Any] | None = None
    """With ``--dry-run``, what would be done."""


def grads(config: GradsConfig) -> GradsResult:
    """Take the projected gradient of every training and dev sample (Li et al. 2024, method.md section 2).

    Shards that are in the store already are kept, so that an interrupted run goes on where it was. Under
    ``torchrun`` the processes share the shards; the store is that of a single process.

    Raises:
        UsageError: an option that this machine, this data set or this meta-training cannot follow.
        DataError, ArtifactError: data or weights are missing or torn; the store is of something else.
        ModelError: the model is not there, or a gradient is not a number.
        StoppedByAnotherError: another process of this run failed, and tells why.
    """
    with joined() as ranks:
        return _grads(config, ranks)


def _grads(config: GradsConfig, ranks: Ranks) -> GradsResult:
    config = settled_method(settled_precision(config))
    if config.projection == "none":
        config = changed(config, project_dim=0)
    device = rank_device(config.devices, ranks.world, ranks.local_rank)
    check_precision(config.precision, device)
    check_available(config.model_key)
    check_method(config)
    data = read_training_data(config)
    check_scores(config, data)
    parts = divide(data, config)
    if config.check_approximation and not parts.dev:
        raise UsageError(
            "needs dev samples to measure on", where="--check-approximation", remedy="see --dev-fraction"
        )
    if config.num_batches_gradients is not None:
        parts = replace(parts, train=parts.train[: config.num_batches_gradients * config.batch_size])
    name = trained_name(config, data)
    meta = find_meta_training(config, name)
    folder = GradientsId(name, config.project_dim, config.run, meta.checkpoint is None).path(config.saved_dir)
    if config.dry_run:
        plan = {"model": config.model_key, "points": list(meta.points), "files": [str(folder)]}
        samples = len(parts.train) + len(parts.dev)
        return GradsResult(folder, samples, 0, 0, config.project_dim, 0.0, None, 0, 0, meta.points, plan=plan)
    # The adapter as it was before any training is the pretrained model, and that is where the line begins.
    model, loaded = load_trainable(changed(config, load_model_dir=None), device, data.labels)
    found = encode_parts(parts, data.template, config.max_length, loaded)
    origin = gradients_origin(config, meta, loaded) | {
        "training samples": texts_digest(parts.train, data.template),
        "dev samples": texts_digest(parts.dev, data.template),
    }
    work = _work(config, model, loaded, meta, origin, data.tasks, found)
    return _fill(work, model, loaded.device, folder, ranks)


def _work(
    config: GradsConfig,
    model: Any,
    loaded: "LoadedModel",
    meta: MetaTraining,
    origin: Mapping[str, str],
    tasks: tuple[str, ...],
    found: Examples,
) -> GradientWork:
    from finetune_cot.training.weights import trainable_weights

    initial = {name: weight.clone() for name, weight in trainable_weights(model).items()}
    parameters = sum(weight.numel() for weight in initial.values())
    exact = config.project_dim == 0
    header = StoreHeader(
        width=parameters if exact else config.project_dim,
        project_dim=config.project_dim,
        projection="none" if exact else config.projection,
        projection_seed=config.seed,
        parameters=parameters,
        points=meta.points,
        train_gradient=config.train_gradient,
        dtype=config.store_dtype,  # type: ignore[arg-type]
        tasks=tasks,
        samples=len(found.train) + len(found.dev),
        shard_samples=config.shard_samples,
        origin=origin,
    )
    return GradientWork(
        config=config,
        header=header,
        examples=[*found.train, *found.dev],
        train_samples=len(found.train),
        pad_token_id=loaded.tokenizer.pad_token_id,
        encoder_decoder=loaded.model_type == "encoder_decoder",
        points=point_weights(meta, model, initial, config),
    )


def _fill(work: GradientWork, model: Any, device: "torch.device", folder: Path, ranks: Ranks) -> GradsResult:
    """Take what the store lacks."""
    config, header = work.config, work.header
    running = start("grads", to_plain(config))
    first = work.points[header.points[0]]
    projector = store_projector(header, first, device)
    with contextlib.ExitStack() as held:
        if ranks.is_first:
            store = writing_store(folder, header, replace=config.overwrite)
            ranks.tell("missing", held.enter_context(store))
        missing = ranks.hear("missing")
        started = time.perf_counter()
        found = ranks.gather("taken", take_shards(work, missing, model, projector, folder, ranks))
        tokens = sum(used for used, _ in found)
        slow = tuple(sorted({name for _, names in found for name in names}))
        if ranks.is_first:
            finish_store(
                folder,
                header,
                _displacement(work, projector),
                np.array(weight_norms(list(work.points.values()))),
            )
            write_manifest(folder / "manifest.json", running.manifest(inputs=header.origin))
        seconds = time.perf_counter() - started
    if slow:
        say(f"gradients of {', '.join(slow)} were taken one sample at a time: no rule for them is known")
    checks = config.check_approximation and ranks.is_first
    checked = check_approximation(work, model, projector, folder) if checks else ()
    taken = sum(len(shard_positions(header, number)) for number in missing)
    return GradsResult(
        path=folder,
        samples=header.samples,
        tokens=tokens,
        parameters=header.parameters,
        dim=header.width,
        seconds=seconds,
        seconds_per_sample=seconds / (taken * len(work.points)) if taken else None,
        peak_memory_bytes=peak_memory_bytes(),
        reused_samples=header.samples - taken,
        points=header.points,
        slow_layers=slow,
        tokens_per_real_token=tokens / real_tokens(work) if taken == header.samples else None,
        approximation=checked,
    )


def _displacement(work: GradientWork, projector: "Projector") -> Float[np.ndarray, "points width"]:
    first = work.points[work.header.points[0]]
    moved = [
        projector.project_weights({name: weight - first[name] for name, weight in weights.items()})
        for weights in work.points.values()
    ]
    return np.stack([weights.cpu().numpy() for weights in moved])


def gradients_origin(
    config: GradsConfig | EstimateConfig, meta: MetaTraining, loaded: "LoadedModel"
) -> dict[str, str]:
    """Of which weights gradients are: model, adapter, meta-training, precision and seed."""
    return {
        "model": loaded.base_name,
        "adapter": trained_part(config),
        "meta-training": start_digest(meta.checkpoint) if meta.checkpoint else "none",
        "precision": config.precision,
        "seed": str(config.seed + config.run),
    }
