"""``ftcot grads``: one projected gradient of every sample, kept in a store."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune_cot.artifacts.gradient_store import (
    SampleRows,
    StoreHeader,
    finish_store,
    shard_positions,
    write_shard,
    writing_store,
)
from finetune_cot.artifacts.ids import GradientsId
from finetune_cot.artifacts.manifest import peak_memory_bytes, start, write_manifest
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.options import replace as changed
from finetune_cot.config.options import to_plain
from finetune_cot.models.registry import check_available
from finetune_cot.pipeline.meta_points import MetaTraining, find_meta_training, point_weights, weight_norms
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.pipeline.subject import start_digest
from finetune_cot.pipeline.train_checks import check_precision, settled_precision, training_device
from finetune_cot.pipeline.train_data import divide, read_training_data, texts_digest, trained_name
from finetune_cot.pipeline.trainable import Examples, encode_parts, load_trainable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.gradients.per_sample import Recorder
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
    plan: Mapping[str, Any] | None = None
    """With ``--dry-run``, what would be done."""


@dataclass(frozen=True)
class _Work:
    """A store that is being filled."""

    config: GradsConfig
    header: StoreHeader
    examples: Sequence["EncodedExample"]
    """Training samples, then dev samples."""
    train_samples: int
    pad_token_id: int
    encoder_decoder: bool
    points: Mapping[str, Mapping[str, "Tensor"]]


def grads(config: GradsConfig) -> GradsResult:
    """Take the projected gradient of every training and dev sample (Li et al. 2024, method.md section 2).

    Shards that are in the store already are kept, so that an interrupted run goes on where it was.

    Raises:
        UsageError: an option that this machine, this data set or this meta-training cannot follow.
        DataError, ArtifactError: data or weights are missing or torn; the store is of something else.
        ModelError: the model is not there, or a gradient is not a number.
    """
    config = settled_precision(config)
    if config.projection == "none":
        config = changed(config, project_dim=0)
    device = training_device(config.devices)
    check_precision(config.precision, device)
    check_available(config.model_key)
    data = read_training_data(config)
    parts = divide(data, config)
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
    model, loaded = load_trainable(changed(config, load_model_dir=None), device)
    found = encode_parts(parts, data.template, config.max_length, loaded)
    origin = _origin(config, meta, loaded) | {
        "training samples": texts_digest(parts.train, data.template),
        "dev samples": texts_digest(parts.dev, data.template),
    }
    work = _work(config, model, loaded, meta, origin, data.tasks, found)
    return _fill(work, model, loaded.device, folder)


def _work(
    config: GradsConfig,
    model: Any,
    loaded: "LoadedModel",
    meta: MetaTraining,
    origin: Mapping[str, str],
    tasks: tuple[str, ...],
    found: Examples,
) -> _Work:
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
    return _Work(
        config=config,
        header=header,
        examples=[*found.train, *found.dev],
        train_samples=len(found.train),
        pad_token_id=loaded.tokenizer.pad_token_id,
        encoder_decoder=loaded.model_type == "encoder_decoder",
        points=point_weights(meta, initial, config),
    )


def _fill(work: _Work, model: Any, device: "torch.device", folder: Path) -> GradsResult:
    """Take what the store lacks."""
    from finetune_cot.gradients.projection import Projection, Projector

    config, header = work.config, work.header
    running = start("grads", to_plain(config))
    first = work.points[header.points[0]]
    kind: Any = header.projection
    projector = Projector(
        Projection(kind, header.project_dim, header.projection_seed),
        {name: weight.shape for name, weight in first.items()},
        device,
    )
    with writing_store(folder, header, replace=config.overwrite) as missing:
        started = time.perf_counter()
        tokens, slow = _take(work, missing, model, projector, folder)
        displacement = [
            projector.project_weights({name: weight - first[name] for name, weight in weights.items()})
            for weights in work.points.values()
        ]
        finish_store(
            folder,
            header,
            np.stack([moved.cpu().numpy() for moved in displacement]),
            np.array(weight_norms(list(work.points.values()))),
        )
        seconds = time.perf_counter() - started
        write_manifest(folder / "manifest.json", running.manifest(inputs=header.origin))
    if slow:
        say(f"gradients of {', '.join(slow)} were taken one sample at a time: no rule for them is known")
    taken = sum(len(shard_positions(header, number)) for number in missing)
    real = sum(sum(_lengths(item, work.encoder_decoder)) for item in work.examples) * len(work.points)
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
        tokens_per_real_token=tokens / real if taken == header.samples else None,
    )


def _take(
    work: _Work, missing: Sequence[int], model: Any, projector: "Projector", folder: Path
) -> tuple[int, tuple[str, ...]]:
    """Write the missing shards; gives the tokens that it took, and the types of layers that were slow."""
    from finetune_cot.gradients.per_sample import recording
    from finetune_cot.models.loading import autocast_dtype

    passes = sum(len(shard_positions(work.header, number)) for number in missing) * len(work.points)
    tokens = 0
    with (
        recording(model, projector, autocast=autocast_dtype(work.config.precision)) as record,
        progress("grads", passes, "samples") as report,
    ):
        count = _Count(report)
        for number in missing:
            rows, used = _shard_rows(work, number, model, record, count.add)
            write_shard(folder, work.header, number, rows)
            tokens += used
        return tokens, record.slow_layers


def _shard_rows(
    work: _Work, number: int, model: Any, record: "Recorder", report: Callable[[int], None]
) -> tuple[SampleRows, int]:
    """The rows of a shard, and the tokens that went through the model for them.

    Args:
        work: What is being filled.
        number: The shard's number.
        model: The model, whose trainable weights are set to each point in turn.
        record: Takes the gradients.
        report: Called with the samples of each batch.
    """
    from finetune_cot.batches.budget import budget_batches
    from finetune_cot.batches.collation import collate

    positions = list(shard_positions(work.header, number))
    width, places = work.header.width, {position: place for place, position in enumerate(positions)}
    features = np.zeros((len(work.points), len(positions), width), np.float32)
    losses = np.zeros((len(positions), len(work.points)), np.float32)
    margins = np.zeros_like(losses)
    tokens = 0
    for index, weights in enumerate(work.points.values()):
        _set_weights(model, weights)
        device = next(iter(weights.values())).device
        for is_dev in (False, True):
            chosen = [position for position in positions if (position >= work.train_samples) == is_dev]
            lengths = [_lengths(work.examples[position], work.encoder_decoder) for position in chosen]
            for batch in budget_batches(lengths, work.config.batch_tokens):
                where = [places[chosen[item]] for item in batch]
                examples = [work.examples[chosen[item]] for item in batch]
                quantity: Any = "loss" if is_dev else work.config.train_gradient
                found = record(collate(examples, work.pad_token_id).to(device), quantity)
                features[index, where] = found.features.cpu().numpy()
                losses[where, index] = found.losses.cpu().numpy()
                margins[where, index] = found.margins.cpu().numpy()
                tokens += found.tokens
                report(len(where))
    task_of = {task: place for place, task in enumerate(work.header.tasks)}
    examples = [work.examples[position] for position in positions]
    return (
        SampleRows(
            features=features,
            sample_index=np.array([item.sample_index for item in examples]),
            task=np.array([task_of[item.task] for item in examples]),
            is_dev=np.array([position >= work.train_samples for position in positions]),
            tokens=np.array([item.label_tokens for item in examples]),
            losses=losses,
            margins=margins,
        ),
        tokens,
    )


def _lengths(example: "EncodedExample", encoder_decoder: bool) -> tuple[int, int]:
    """Tokens of the input and, in an encoder-decoder, of the target."""
    return len(example.input_ids), len(example.labels) if encoder_decoder else 0


class _Count:
    """Adds up what is done, and tells the sum."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._done = 0

    def add(self, samples: int) -> None:
        """Count some more."""
        self._done += samples
        self._report(self._done)


def _set_weights(model: Any, weights: Mapping[str, "Tensor"]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            own = weights.get(name.replace(".default.", "."))
            if own is not None:
                parameter.copy_(own)


def _origin(config: GradsConfig, meta: MetaTraining, loaded: "LoadedModel") -> dict[str, str]:
    targets = ",".join(config.lora_targets or ()) or "usual"
    lora = f"lora r {config.lora_rank} alpha {config.lora_alpha:g} on {targets}"
    return {
        "model": loaded.base_name,
        "adapter": lora if config.method == "lora" else config.method,
        "meta-training": start_digest(meta.checkpoint) if meta.checkpoint else "none",
        "precision": config.precision,
        "seed": str(config.seed + config.run),
    }
