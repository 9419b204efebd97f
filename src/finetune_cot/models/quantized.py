"""Base models in 4 bits (QLoRA, Dettmers et al. 2023, section 3) by bitsandbytes, which is an extra.

Linear layers hold NF4 numbers and doubly quantized scales, and compute in another format; all else of the
model stays as it is. Adapters trained on such a base carry `QUANTIZATION_FILE`, so that they are put on the
same one again.
"""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from finetune_cot.errors import ModelError, UsageError

QUANTIZATION_FILE = "base_quantization.json"
"""Beside an adapter's weights: how its base model was quantized."""

_BLOCK = 64
"""Weights that share a scale."""
_NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}


def require_bitsandbytes(where: object) -> None:
    """Refuse what needs bitsandbytes where it is missing.

    Raises:
        UsageError: says how to install it.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(
            "needs the package bitsandbytes, which is not installed",
            where=where,
            remedy="run: pip install 'finetune-cot[quant]'",
        )


def quantization_config(compute: torch.dtype, left: Sequence[str] | None = None) -> Any:
    """What transformers needs to quantize a model while it loads it.

    Args:
        compute: Number format that the quantized layers compute in.
        left: Modules that stay as they are; None for those that transformers leaves, a language model's head.

    Raises:
        UsageError: bitsandbytes is not there.
    """
    require_bitsandbytes("a base model in 4 bits")
    from transformers import BitsAndBytesConfig

    make: Any = BitsAndBytesConfig
    return make(**_NF4, bnb_4bit_compute_dtype=compute, llm_int8_skip_modules=left)


def prepare_quantized(model: Any, dtype: torch.dtype) -> None:
    """Freeze a model in 4 bits for training, with what is not quantized in a number format of its own.

    Args:
        model: A quantized transformers model; changed in place.
        dtype: The number format.

    Raises:
        ModelError: bitsandbytes computes its layers wrongly on a CPU.
    """
    from peft import prepare_model_for_kbit_training

    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            # A copy, since one weight that lies in the file's memory would keep all of the file there.
            parameter.data = parameter.data.to(dtype, copy=True)
    compute_as_asked(model)
    _refuse_odd_widths(model)


def _refuse_odd_widths(model: Any) -> None:
    """Refuse what bitsandbytes 0.50 gets wrong without a word: it mixes up scales that span two rows."""
    for name, layer in model.named_modules():
        odd = type(layer).__name__ == "Linear4bit" and layer.in_features % _BLOCK
        if odd and layer.weight.device.type == "cpu":
            raise ModelError(
                f"{name} has {layer.in_features} inputs; in 4 bits on a CPU it needs a multiple of {_BLOCK}",
                where=model.config.name_or_path,
                remedy="use --method lora for this model, or a GPU",
            )


def compute_as_asked(model: Any) -> None:
    """Let a quantized model compute in its own number format also where the CPU knows bfloat16.

    The library would repack the weights for bfloat16 in evaluation, and no gradient flows through these any
    more, even when the model is trained further.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def is_quantized(model: Any) -> bool:
    """Whether a transformers model, with or without an adapter, has layers in 4 bits."""
    return any(type(parameter).__name__ == "Params4bit" for parameter in model.parameters())


def foreign_layer(model: Any) -> str | None:
    """Name of a layer that holds weights in 4 bits and does not know how to compute with them, if any."""
    for name, layer in model.named_modules():
        in_4_bits = type(layer._parameters.get("weight")).__name__ == "Params4bit"
        if in_4_bits and all(kind.__name__ != "Linear4bit" for kind in type(layer).__mro__):
            return str(name)
    return None


def note_quantization(model: Any, folder: Path) -> None:
    """Write beside an adapter's weights how its base is quantized, if it is."""
    if is_quantized(model):
        (folder / QUANTIZATION_FILE).write_text(json.dumps(_NF4) + "\n", encoding="utf-8")


def dequantize_into(plain: Any, quantized: Any) -> None:
    """Give an unquantized model the weights that its quantized likeness computes with.

    Args:
        plain: A transformers model as it was before it was quantized; changed in place.
        quantized: The same model in 4 bits, with or without an adapter of PEFT's.
    """
    from bitsandbytes.functional import dequantize_4bit
    from transformers.pytorch_utils import Conv1D

    base = quantized.get_base_model() if hasattr(quantized, "get_base_model") else quantized
    for name, layer in base.named_modules():
        if type(layer).__name__ == "Linear4bit":
            weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            target = plain.get_submodule(name.removesuffix(".base_layer"))
            # bitsandbytes turns GPT-2's layers, whose weights are transposed, into linear ones.
            target.weight.data.copy_(weight.T if isinstance(target, Conv1D) else weight)
