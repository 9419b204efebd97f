"""The pass over the samples that takes their gradients at every point, a shard of the store at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune_cot.artifacts.gradient_store import SampleRows, StoreHeader, shard_positions, write_shard
from finetune_cot.config.grads import GradsConfig
from finetune_cot.pipeline.progress import progress
from finetune_cot.pipeline.ranks import Ranks

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.gradients.per_sample import Recorder
    from finetune_cot.gradients.projection import Projector


@dataclass(frozen=True)
class GradientWork:
    """A store that is being filled."""

    config: GradsConfig
    header: StoreHeader
    examples: Sequence["EncodedExample"]
    """Training samples, then dev samples."""
    train_samples: int
    pad_token_id: int
    encoder_decoder: bool
    points: Mapping[str, Mapping[str, "Tensor"]]


def take_shards(
    work: GradientWork,
    missing: Sequence[int],
    model: Any,
    projector: "Projector",
    folder: Path,
    ranks: Ranks,
) -> tuple[int, tuple[str, ...]]:
    """Write this rank's part of the missing shards.

    Returns:
        The tokens that it took, and the types of layers that were slow.
    """
    from finetune_cot.gradients.per_sample import recording
    from finetune_cot.models.loading import autocast_dtype

    samples = sum(len(shard_positions(work.header, number)) for number in missing)
    tokens = 0
    with (
        recording(model, projector, autocast=autocast_dtype(work.config.precision)) as record,
        progress("grads", samples * len(work.points), "samples") as report,
    ):
        count = _Count(report)
        for place, number in ranks.share("shards", missing):
            count.reach(place * work.header.shard_samples * len(work.points))
            rows, used = _shard_rows(work, number, model, record, count.add)
            write_shard(folder, work.header, number, rows)
            tokens += used
        return tokens, record.slow_layers


def _shard_rows(
    work: GradientWork, number: int, model: Any, record: "Recorder", report: Callable[[int], None]
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


def store_projector(
    header: StoreHeader, weights: Mapping[str, "Tensor"], device: "torch.device"
) -> "Projector":
    """What projects gradients as those of a store are, and lifts its steps back to weights."""
    from finetune_cot.gradients.projection import Projection, Projector

    kind: Any = header.projection
    shapes = {name: weight.shape for name, weight in weights.items()}
    return Projector(Projection(kind, header.project_dim, header.projection_seed), shapes, device)


def real_tokens(work: GradientWork) -> int:
    """Tokens of all samples at all points, without filling."""
    return sum(sum(_lengths(item, work.encoder_decoder)) for item in work.examples) * len(work.points)


def _lengths(example: "EncodedExample", encoder_decoder: bool) -> tuple[int, int]:
    """Tokens of the input and, in an encoder-decoder, of the target."""
    return len(example.input_ids), len(example.labels) if encoder_decoder else 0


class _Count:
    """Adds up what is done, and tells the sum."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._done = 0

    def reach(self, samples: int) -> None:
        """Count what the other ranks have done, or are about to do."""
        self._done = max(self._done, samples)

    def add(self, samples: int) -> None:
        """Count some more."""
        self._done += samples
        self._report(self._done)


def _set_weights(model: Any, weights: Mapping[str, "Tensor"]) -> None:
    """As ``set_trainable_weights``, for a model that is being recorded, in which nothing is trainable."""
    import torch

    from finetune_cot.models.naming import weight_name

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            own = weights.get(weight_name(name))
            if own is not None:
                parameter.copy_(own)
