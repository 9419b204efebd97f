"""How much memory a training needs at its peak, told before it begins.

Gradients and the optimizer's state follow from the parameters. Activations are what autograd keeps of a
forward pass; a pass of tensors that have shapes but no numbers (PyTorch's ``FakeTensorMode``) tells how much
that is, for the batch with the most tokens. Beside weights and state, which are always there, a training
holds most when

* a forward pass ends: gradients of the last step, activations, logits;
* a backward pass begins: activations, and gradients of the logits and of their logarithms;
* the optimizer steps: gradients, and twice the largest parameter;
* the dev loss is measured: gradients, one block's activations, logits and their logarithms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.pytorch_utils import Conv1D

from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import IGNORED, EncodedExample
from finetune_cot.batches.grouping import shuffled_batches, sorted_batches
from finetune_cot.models.classification import class_logits, is_classifier, without_wrapper
from finetune_cot.models.loading import autocast_dtype
from finetune_cot.training.settings import TrainingSettings
from finetune_cot.training.shared_prompt import prompt_cache, shared_tokens

BYTES_IN_4_BITS = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Of a weight in NF4: 64 share a scale of one byte, and 256 scales share one of four bytes."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a process holds at its peak, beside what it had before the model was loaded."""

    weights: int
    gradients: int
    optimizer: int
    """State of the optimizer."""
    activations: int
    """What one forward pass keeps for the backward pass."""
    total: int
    """At the peak, which is less than the sum where not all is there at once."""
    trainable_parameters: int
    parameters: int
    batch_tokens: int
    """Tokens of the batch with the most, filling included."""


@dataclass(frozen=True)
class _Shape:
    """A batch without its tokens."""

    samples: int
    tokens: int
    shared: int
    """First tokens that are read once for all samples."""
    targets: int
    """Tokens that an encoder-decoder writes."""
    labels: int
    padded: bool


@dataclass
class _Kept:
    """What a forward pass keeps for the backward pass, in bytes."""

    activations: int = 0
    block_inputs: int = 0
    blocks: tuple[int, ...] = ()


def estimate_memory(
    model: Any,
    train: Sequence[EncodedExample],
    dev: Sequence[EncodedExample],
    pad_token_id: int,
    settings: TrainingSettings,
    *,
    quantized: bool,
) -> MemoryEstimate:
    """Estimate the peak of a training.

    Args:
        model: The model with what is trained, which may be on the meta device; it is of no use afterwards.
        train: Samples to train on.
        dev: Samples whose loss is measured; may be empty.
        pad_token_id: Token that fills up short samples.
        settings: How it is trained.
        quantized: Whether frozen linear layers are in 4 bits.

    Raises:
        RuntimeError: a step of the model depends on numbers.
    """
    model.train()
    layers = _layers_in_4_bits(model) if quantized else []
    shape = _shape(model, _largest_batch(train, pad_token_id, settings), settings)
    with FakeTensorMode():
        _forget_numbers(model)
        kept = _forward_pass(model, shape, settings, layers)
    activations = kept.activations
    if settings.gradient_checkpointing and kept.blocks:
        activations += kept.block_inputs + max(kept.blocks) - sum(kept.blocks)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights, gradients, state = _weights(model, layers), _bytes(trainable), _state(trainable, settings)
    base = without_wrapper(model)
    rows = base.config.num_labels if is_classifier(base) else base.get_output_embeddings().weight.shape[0]
    vocabulary = 4 * rows
    logits = shape.labels * vocabulary
    per_token = max(kept.blocks, default=0) / (shape.samples * (shape.tokens + shape.targets))
    if settings.strategy == "fsdp":
        weights, gradients, state = (size // settings.processes.world for size in (weights, gradients, state))
    peak = max(
        gradients + activations + logits,
        gradients * (settings.accumulate > 1) + activations + 2 * logits,
        gradients + 2 * max(parameter.nbytes for parameter in trainable),
        gradients + _dev_pass(dev, settings, per_token, 2 * vocabulary),
    )
    return MemoryEstimate(
        weights=weights,
        gradients=gradients,
        optimizer=state,
        activations=activations,
        total=weights + state + round(peak),
        trainable_parameters=sum(parameter.numel() for parameter in trainable),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        batch_tokens=shape.samples * (shape.tokens + shape.targets),
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


def _shape(model: Any, batch: Batch, settings: TrainingSettings) -> _Shape:
    """What of a batch goes through a model, as `loss.logits_and_targets` has it."""
    base = without_wrapper(model)
    samples, tokens = batch.input_ids.shape
    if batch.choices:
        return _Shape(samples, tokens, 0, 0, samples, padded=not bool(batch.attention_mask.all()))
    if base.config.is_encoder_decoder:
        labelled = batch.labels != IGNORED
        targets, shared = batch.labels.shape[1], 0
    else:
        labelled = batch.labels[:, 1:] != IGNORED
        targets, tokens = 0, int(labelled.any(dim=0).nonzero().max()) + 1
        alone = settings.gradient_checkpointing or settings.device != "cpu"
        shared = 0 if alone else shared_tokens(base, batch)
    padded = not bool(batch.attention_mask[:, :tokens].all())
    return _Shape(samples, tokens, shared, targets, int(labelled.sum()), padded)


def _forward_pass(
    model: Any, shape: _Shape, settings: TrainingSettings, layers: Sequence[nn.Module]
) -> _Kept:
    """Count what autograd keeps of one batch; a storage counts once, and weights not at all."""
    for layer in layers:
        layer.forward = _FrozenLinear(layer)
    kept = _Kept()
    seen = {storage._cdata: storage for storage in map(_storage, (*model.parameters(), *model.buffers()))}

    def keep(tensor: Tensor) -> Tensor:
        storage = _storage(tensor)
        if storage._cdata not in seen:
            seen[storage._cdata] = storage
            kept.activations += storage.nbytes()
        return tensor

    for block in model.modules():
        if isinstance(block, GradientCheckpointingLayer):
            _count_block(block, kept)
    autocast = autocast_dtype(settings.precision)
    with (
        saved_tensors_hooks(keep, lambda tensor: tensor),
        _FlashAttention(shape.padded, settings.device),
        torch.autocast("cpu", autocast, enabled=autocast is not None),
    ):
        _losses(model, shape)
    return kept


def _forget_numbers(model: nn.Module) -> None:
    """Turn a model's weights into ones of the CPU that have no numbers; those that were shared still are."""
    fake: dict[Tensor, Tensor] = {}
    for module in model.modules():
        tables: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for weights in tables:
            for name, weight in weights.items():
                if weight is None:
                    continue
                if weight not in fake:
                    empty = torch.empty(weight.shape, dtype=weight.dtype)
                    trained = nn.Parameter(empty, requires_grad=weight.requires_grad)
                    fake[weight] = trained if isinstance(weight, nn.Parameter) else empty
                weights[name] = fake[weight]


def _count_block(block: nn.Module, kept: _Kept) -> None:
    starts: list[int] = []

    def begin(block: nn.Module, args: tuple[Any, ...]) -> None:
        starts.append(kept.activations)
        kept.block_inputs += sum(value.nbytes for value in args[:1] if isinstance(value, Tensor))

    def end(block: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        kept.blocks += (kept.activations - starts.pop(),)

    block.register_forward_pre_hook(begin)
    block.register_forward_hook(end)


def _losses(model: Any, shape: _Shape) -> Tensor:
    base = without_wrapper(model)
    ids = torch.zeros(shape.samples, shape.tokens, dtype=torch.long)
    mask = torch.ones_like(ids)
    if is_classifier(base):
        allowed = torch.ones(shape.samples, base.config.num_labels, dtype=torch.bool)
        logits = class_logits(model, {"input_ids": ids, "attention_mask": mask}, allowed)
        return nn.functional.cross_entropy(logits.float(), ids[:, 0])
    inputs: dict[str, Any] = {"use_cache": False}
    if shape.targets:
        inputs["decoder_input_ids"] = torch.zeros(shape.samples, shape.targets, dtype=torch.long)
    if shape.shared:
        inputs = prompt_cache(model, base, Batch(ids, mask, ids, (), (), 1), shape.shared)

    def labelled_rows(head: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].flatten(0, 1)[: shape.labels][None],)

    handle = base.get_output_embeddings().register_forward_pre_hook(labelled_rows)
    try:
        logits = model(input_ids=ids[:, shape.shared :], attention_mask=mask, **inputs).logits[0]
    finally:
        handle.remove()
    return nn.functional.cross_entropy(logits.float(), ids.new_zeros(len(logits)), reduction="none").sum()


class _FlashAttention(TorchFunctionMode):
    """Attention as the kernels of the device keep it, which fake tensors would compute in steps."""

    def __init__(self, padded: bool, device: str) -> None:
        super().__init__()
        self._padded = padded
        self._on_cpu = device == "cpu"

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is Tensor.__bool__:
            # Older transformers ask the attention mask whether there is padding at all.
            return not self._padded
        # With dropout a CPU does compute it in steps.
        in_steps = self._on_cpu and named.get("dropout_p", 0.0) > 0
        if func is nn.functional.scaled_dot_product_attention and not in_steps:
            return self._attend(*args, **named)
        return func(*args, **named)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any
    ) -> Any:
        mask = attn_mask if self._padded else None
        if mask is not None and mask.dtype == torch.bool:
            mask = mask.to(query.dtype)
        return _Attention.apply(query, key, value, mask)  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        samples, heads, tokens, _ = query.shape
        output = query.new_empty(samples, tokens, heads, value.shape[-1]).transpose(1, 2)
        ctx.save_for_backward(query, key, value, output, mask)
        return output


class _FrozenLinear:
    """A layer in 4 bits, which keeps nothing: its weights are there in any case."""

    def __init__(self, layer: Any) -> None:
        weight = layer.weight
        self._outer = weight.shape[1] if isinstance(layer, Conv1D) else weight.shape[0]

    def __call__(self, x: Tensor) -> Any:
        return _Product.apply(x, self._outer)  # type: ignore[no-untyped-call]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, outer: int) -> Tensor:
        return x.new_empty(*x.shape[:-1], outer)


def _layers_in_4_bits(model: Any) -> list[nn.Module]:
    """The linear layers that are quantized: all frozen ones but the head, and those that stay in float32."""
    base = without_wrapper(model)
    precise, head = set(base._keep_in_fp32_modules or ()), base.get_output_embeddings()
    return [
        layer
        for name, layer in model.named_modules()
        if type(layer) in (nn.Linear, Conv1D)
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


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()
