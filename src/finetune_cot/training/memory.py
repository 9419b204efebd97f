"""How much memory a training needs at its peak, told before it begins.

Gradients and the optimizer's state follow from the parameters, and activations from the batch with the most
tokens (`training.kept_activations`). Beside weights and state, which are always there, a training holds most
when

* a forward pass ends: gradients of the last step, activations, logits;
* a backward pass begins: activations, and gradients of the logits and of their logarithms;
* the optimizer steps: gradients, and twice the largest parameter;
* the dev loss is measured: gradients, one block's activations, logits and their logarithms.

On a CPU there is also what the program itself takes, and until a dev pass begins the C library keeps what
small tensors held. While a model is loaded into another number format, its file is in memory as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import EncodedExample
from finetune_cot.batches.grouping import shuffled_batches, sorted_batches
from finetune_cot.models.classification import is_classifier, without_wrapper
from finetune_cot.training.freed_memory import is_kept
from finetune_cot.training.kept_activations import kept_of_pass, shape_of
from finetune_cot.training.settings import TrainingSettings

_BYTES = 4
"""Of a logit, and of a number that the optimizer computes with."""
BYTES_IN_4_BITS = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in NF4: 64 share a scale of one byte, and 256 scales share one of four bytes."""
_GAPS = 0.6
"""What glibc cannot use again between the tensors that a pass keeps, over their size: 0.25 to 0.7."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a process holds at its peak."""

    program: int
    """What it held before the model was loaded; 0 on a GPU."""
    weights: int
    gradients: int
    optimizer: int
    """State of the optimizer."""
    activations: int
    """What one forward pass keeps for the backward pass."""
    gaps: int
    """What the C library keeps of freed tensors between others; 0 on a GPU."""
    total: int
    """At the peak, which is less than the sum where not all is there at once."""
    trainable_parameters: int
    parameters: int
    batch_tokens: int
    """Tokens of the batch with the most, filling included."""


def estimate_memory(
    model: Any,
    train: Sequence[EncodedExample],
    dev: Sequence[EncodedExample],
    pad_token_id: int,
    settings: TrainingSettings,
    *,
    quantized: bool,
    program: int = 0,
    file: int = 0,
) -> MemoryEstimate:
    """Estimate the peak of a training.

    Args:
        model: The model with what is trained, which may be on the meta device; it is of no use afterwards.
        train: Samples to train on.
        dev: Samples whose loss is measured; may be empty.
        pad_token_id: Token that fills up short samples.
        settings: How it is trained.
        quantized: Whether frozen linear layers are in 4 bits.
        program: Bytes that the process held before the model was loaded.
        file: Bytes of the model's file, which a CPU holds besides while it turns them into other numbers.

    Raises:
        RuntimeError: a step of the model depends on numbers.
    """
    model.train()
    layers = _layers_in_4_bits(model) if quantized else []
    shape = shape_of(model, _largest_batch(train, pad_token_id, settings), settings)
    kept = kept_of_pass(model, shape, settings, layers)
    activations = kept.activations
    if settings.gradient_checkpointing and kept.blocks:
        activations += kept.block_inputs + max(kept.blocks) - sum(kept.blocks)
    small = kept.in_small_pieces if settings.device == "cpu" and is_kept() else 0
    gaps = round(_GAPS * small)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights, gradients, state = _weights(model, layers), _bytes(trainable), _state(trainable, settings)
    if settings.strategy == "fsdp":
        weights, gradients, state = (size // settings.processes.world for size in (weights, gradients, state))
    batch_tokens = shape.samples * (shape.tokens + shape.targets)
    per_token, per_label = max(kept.blocks, default=0) / batch_tokens, _BYTES * _head_rows(model)
    logits = shape.labels * per_label
    optimizing = gradients + 2 * _BYTES * max(part.numel() for part in trainable)
    peak = max(
        gaps + gradients + activations + logits,
        gaps + gradients * (settings.accumulate > 1) + activations + 2 * logits,
        gaps + min(small, activations) + optimizing,
        gradients + _dev_pass(dev, settings, per_token, 2 * per_label),
    )
    converted = quantized or abs(weights - file) > file / 10
    return MemoryEstimate(
        program=program,
        weights=weights,
        gradients=gradients,
        optimizer=state,
        activations=activations,
        gaps=gaps,
        total=program + weights + max(state + round(peak), file * converted),
        trainable_parameters=sum(parameter.numel() for parameter in trainable),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        batch_tokens=batch_tokens,
    )


def _largest_batch(
    examples: Sequence[EncodedExample], pad_token_id: int, settings: TrainingSettings
) -> Batch:
    """The batch of the first epoch with the most tokens, where those to be predicted count twice."""
    lengths = [example.length for example in examples]

    def size(batch: list[int]) -> int:
        labels = sum(examples[place].label_tokens for place in batch)
        return len(batch) * max(lengths[place] for place in batch) + labels

    batches = shuffled_batches(lengths, settings.batch_size, settings.seed, epoch=0)
    largest = max((_own_part(batch, lengths, settings.processes.world) for batch in batches), key=size)
    return collate([examples[place] for place in largest], pad_token_id)


def _own_part(batch: list[int], lengths: Sequence[int], processes: int) -> list[int]:
    """The part of a batch of the process that has the longest samples."""
    return sorted(batch, key=lambda place: -lengths[place])[: -(-len(batch) // processes)]


def _dev_pass(
    examples: Sequence[EncodedExample], settings: TrainingSettings, per_token: float, per_label: int
) -> float:
    """Bytes of the largest batch of the dev set."""
    lengths = [example.length for example in examples]
    batches = sorted_batches(lengths, settings.inference_batch_size)
    own = [_own_part(batch, lengths, settings.processes.world) for batch in batches]
    return max(
        (
            per_token * len(batch) * lengths[batch[0]]
            + per_label * sum(examples[place].label_tokens for place in batch)
            for batch in own
        ),
        default=0.0,
    )


def _layers_in_4_bits(model: Any) -> list[nn.Module]:
    """The linear layers that are quantized: all frozen ones but the head, and those that stay in float32."""
    base = without_wrapper(model)
    precise, head = set(base._keep_in_fp32_modules or ()), base.get_output_embeddings()
    return [
        layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Conv1D)
        and layer is not head
        and not layer.weight.requires_grad
        and not precise & set(name.split("."))
    ]


def _weights(model: nn.Module, layers_in_4_bits: Sequence[Any]) -> int:
    whole = _bytes([*model.parameters(), *model.buffers()])
    linear: list[Tensor] = [layer.weight for layer in layers_in_4_bits]
    return whole - _bytes(linear) + round(BYTES_IN_4_BITS * sum(weight.numel() for weight in linear))


def _state(trainable: Sequence[Tensor], settings: TrainingSettings) -> int:
    """Two numbers a parameter; bitsandbytes keeps those of small parameters in four bytes each."""
    if settings.optimizer == "sgd":
        return 0
    if settings.optimizer.endswith("8bit"):
        return sum(parameter.numel() * (2 if parameter.numel() >= 4096 else 8) for parameter in trainable)
    if settings.optimizer == "paged_adamw_32bit":
        return 8 * sum(parameter.numel() for parameter in trainable)
    return 2 * _bytes(trainable)


def _head_rows(model: Any) -> int:
    base = without_wrapper(model)
    rows: int = base.config.num_labels if is_classifier(base) else len(base.get_output_embeddings().weight)
    return rows


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
