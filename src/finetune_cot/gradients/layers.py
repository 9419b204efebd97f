"""The gradient of each sample with respect to a layer's weights, from what went in and what came back.

One small rule per layer type and parameter. A rule sees the layer's input x and the gradient e of its
output, both with the axes ``samples tokens features``, and sums over the tokens. A LoRA pair
y = W x + s B (A x) needs no rule of its own: PEFT keeps A and B as linear layers, the input of B is A x, and
what comes back to the outputs of B and A is s e and s B^T e. So the rule of linear layers gives
grad_B = s e (A x)^T and grad_A = s (B^T e) x^T over any frozen base: Linear, GPT-2's Conv1D, or a quantized
one. Bottleneck adapters are made of linear layers as well.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from finetune_cot.models.naming import weight_name

Rule = Callable[[Any, Tensor, Tensor], Tensor]
"""Layer, its input and its output's gradient -> the parameter's gradients, ``[samples, *shape]``."""

_PLAIN_LORA = ("Linear", "Linear4bit", "Linear8bitLt")
"""PEFT's LoRA layers that use A and B as linear layers and in no other way."""


def linear_weight(
    layer: nn.Linear, x: Float[Tensor, "samples tokens inner"], e: Float[Tensor, "samples tokens outer"]
) -> Float[Tensor, "samples outer inner"]:
    """Sum over tokens of e x^T."""
    return torch.bmm(e.mT, x)


def conv1d_weight(
    layer: Conv1D, x: Float[Tensor, "samples tokens inner"], e: Float[Tensor, "samples tokens outer"]
) -> Float[Tensor, "samples inner outer"]:
    """Sum over tokens of x e^T: GPT-2 keeps its weights transposed."""
    return torch.bmm(x.mT, e)


def bias(
    layer: nn.Module, x: Float[Tensor, "samples tokens inner"], e: Float[Tensor, "samples tokens outer"]
) -> Float[Tensor, "samples outer"]:
    """Sum over tokens of e."""
    return e.sum(dim=1)


def layer_norm_weight(
    layer: nn.LayerNorm, x: Float[Tensor, "samples tokens inner"], e: Float[Tensor, "samples tokens inner"]
) -> Float[Tensor, "samples inner"]:
    """Sum over tokens of e times the normalized input."""
    return (e * functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)).sum(dim=1)


def rms_norm_weight(
    layer: nn.Module, x: Float[Tensor, "samples tokens inner"], e: Float[Tensor, "samples tokens inner"]
) -> Float[Tensor, "samples inner"]:
    """Sum over tokens of e times the normalized input; the same whether the layer scales by w or 1 + w."""
    eps: float | None = getattr(layer, "variance_epsilon", getattr(layer, "eps", None))
    return (e * functional.rms_norm(x, x.shape[-1:], eps=eps)).sum(dim=1)


def embedding_weight(
    layer: nn.Embedding, ids: Int[Tensor, "samples tokens"], e: Float[Tensor, "samples tokens inner"]
) -> Float[Tensor, "samples vocabulary inner"]:
    """Sum over the places of each token of e; the padding token has none."""
    grads = e.new_zeros(len(ids), *layer.weight.shape)
    if layer.padding_idx is not None:
        e = e.masked_fill((ids == layer.padding_idx)[..., None], 0.0)
    return grads.scatter_add_(1, ids[..., None].expand_as(e), e)


RULES: Mapping[type[nn.Module], Mapping[str, Rule]] = {
    nn.Linear: {"weight": linear_weight, "bias": bias},
    Conv1D: {"weight": conv1d_weight, "bias": bias},
    nn.LayerNorm: {"weight": layer_norm_weight, "bias": bias},
    nn.RMSNorm: {"weight": rms_norm_weight},
    nn.Embedding: {"weight": embedding_weight},
}
"""Rules by exact type: a subclass may compute something else."""

RULES_BY_NAME: Mapping[str, Mapping[str, Rule]] = {
    f"{family}RMSNorm": {"weight": rms_norm_weight}
    for family in ("Llama", "Mistral", "Mixtral", "Qwen2", "Qwen3", "Phi3", "Gemma", "Gemma2", "Gemma3")
} | {"T5LayerNorm": {"weight": rms_norm_weight}}
"""Rules by class name, for transformers' norms, which every family defines for itself."""


@dataclass(frozen=True)
class TrainableLayer:
    """A layer that owns trainable parameters, and how the gradients of each are found."""

    layer: nn.Module
    names: Mapping[str, str]
    """File names of its trainable parameters by their names in the layer."""
    rules: Mapping[str, Rule] | None
    """Rules by the parameters' names in the layer; None if one of them has none."""

    @property
    def kind(self) -> str:
        """Name of the layer's type."""
        return type(self.layer).__name__


def trainable_layers(model: nn.Module) -> list[TrainableLayer]:
    """Layers that own trainable parameters, with their rules; a shared parameter has one name everywhere."""
    names = {parameter: weight_name(name) for name, parameter in model.named_parameters()}
    special = tuple(_special_adapters(model))
    vocabulary = _token_embedding(model)
    found = []
    for place, layer in model.named_modules():
        own = {
            name: names[parameter]
            for name, parameter in layer.named_parameters(recurse=False)
            if parameter.requires_grad
        }
        if own:
            rules = None if place.startswith(special) else _rules(layer, vocabulary)
            known = rules is not None and own.keys() <= rules.keys()
            found.append(TrainableLayer(layer, own, rules if known else None))
    return found


def _rules(layer: nn.Module, vocabulary: Tensor | None) -> Mapping[str, Rule] | None:
    if type(layer) is nn.Embedding:
        # Positions are looked up once for the whole batch, so that samples cannot be told apart.
        plain = layer.weight is vocabulary and layer.max_norm is None and not layer.scale_grad_by_freq
        return RULES[nn.Embedding] if plain else None
    if type(layer) is nn.LayerNorm and len(layer.normalized_shape) != 1:
        return None
    by_name = RULES_BY_NAME if type(layer).__module__.startswith("transformers.") else {}
    return RULES.get(type(layer)) or by_name.get(type(layer).__name__)


def _token_embedding(model: Any) -> Tensor | None:
    embedding = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
    return getattr(embedding, "weight", None)


def _special_adapters(model: nn.Module) -> Iterator[str]:
    """Places of adapter layers that do more with their weights than call them, such as DoRA."""
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    for place, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            plain = isinstance(layer, LoraLayer) and type(layer).__name__ in _PLAIN_LORA
            if (
                not plain
                or getattr(layer, "lora_variant", None)
                or any(getattr(layer, "use_dora", {}).values())
            ):
                yield f"{place}."
