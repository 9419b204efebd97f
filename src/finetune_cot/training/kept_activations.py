"""What autograd keeps of a forward pass, found by a pass of tensors that have shapes and no numbers."""

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

from finetune_cot.batches.collation import Batch
from finetune_cot.batches.encoding import IGNORED
from finetune_cot.models.classification import class_logits, is_classifier, without_wrapper
from finetune_cot.models.loading import autocast_dtype
from finetune_cot.training.settings import TrainingSettings
from finetune_cot.training.shared_prompt import prompt_cache, shared_tokens

_SMALL = 32 * 2**20
"""Bytes from which glibc always asks the system for a tensor's memory, and gives it back when it is freed."""


@dataclass(frozen=True)
class BatchShape:
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
class Kept:
    """What a forward pass keeps for the backward pass, in bytes."""

    activations: int = 0
    """All of it, weights left out."""
    in_small_pieces: int = 0
    """That of it which lies in tensors of less than 32 MiB."""
    block_inputs: int = 0
    """What goes into the blocks that can be computed again."""
    blocks: tuple[int, ...] = ()
    """What each of these keeps."""


def shape_of(model: Any, batch: Batch, settings: TrainingSettings) -> BatchShape:
    """What of a batch goes through a model, as `loss.logits_and_targets` has it."""
    base = without_wrapper(model)
    samples, tokens = batch.input_ids.shape
    if batch.choices:
        return BatchShape(samples, tokens, 0, 0, samples, padded=not bool(batch.attention_mask.all()))
    if base.config.is_encoder_decoder:
        labelled = batch.labels != IGNORED
        targets, shared = batch.labels.shape[1], 0
    else:
        labelled = batch.labels[:, 1:] != IGNORED
        targets, tokens = 0, int(labelled.any(dim=0).nonzero().max()) + 1
        alone = settings.gradient_checkpointing or settings.device != "cpu"
        shared = 0 if alone else shared_tokens(base, batch)
    padded = not bool(batch.attention_mask[:, :tokens].all())
    return BatchShape(samples, tokens, shared, targets, int(labelled.sum()), padded)


def kept_of_pass(
    model: Any, shape: BatchShape, settings: TrainingSettings, layers_in_4_bits: Sequence[nn.Module]
) -> Kept:
    """Count what autograd keeps of one batch; a storage counts once.

    Args:
        model: The model in training mode, which is of no use afterwards.
        shape: The batch.
        settings: How it is trained.
        layers_in_4_bits: Linear layers of the model that stand for quantized ones.

    Raises:
        RuntimeError: a step of the model depends on numbers.
    """
    with FakeTensorMode():
        _forget_numbers(model)
        for layer in layers_in_4_bits:
            layer.forward = _FrozenLinear(layer)
        return _counted(model, shape, settings)


def _counted(model: Any, shape: BatchShape, settings: TrainingSettings) -> Kept:
    kept = Kept()
    weights = [tensor.untyped_storage() for tensor in (*model.parameters(), *model.buffers())]
    seen = {storage._cdata: storage for storage in weights}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen[storage._cdata] = storage
            kept.activations += storage.nbytes()
            kept.in_small_pieces += storage.nbytes() * (storage.nbytes() < _SMALL)
        return tensor

    for block in model.modules():
        if isinstance(block, GradientCheckpointingLayer):
            _count_block(block, kept)
    autocast = autocast_dtype(settings.precision)
    with (
        saved_tensors_hooks(keep, lambda tensor: tensor),
        _DeviceKernels(shape.padded, settings.device),
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


def _count_block(block: nn.Module, kept: Kept) -> None:
    starts: list[int] = []

    def begin(block: nn.Module, args: tuple[Any, ...]) -> None:
        starts.append(kept.activations)
        kept.block_inputs += sum(value.nbytes for value in args[:1] if isinstance(value, Tensor))

    def end(block: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        kept.blocks += (kept.activations - starts.pop(),)

    block.register_forward_pre_hook(begin)
    block.register_forward_hook(end)


def _losses(model: Any, shape: BatchShape) -> Tensor:
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


class _DeviceKernels(TorchFunctionMode):
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
        self._outer = layer.nf if isinstance(layer, Conv1D) else layer.out_features

    def __call__(self, x: Tensor) -> Any:
        return _Product.apply(x, self._outer)  # type: ignore[no-untyped-call]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, outer: int) -> Tensor:
        return x.new_empty(*x.shape[:-1], outer)
