"""A fine-tuned model as a folder that plain transformers or PEFT loads, and the proof that it does."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from finetune_cot.errors import ModelError
from finetune_cot.models.bottleneck import BOTTLENECK_WEIGHTS, HEAD_FILES, is_bottleneck, quiet_adapters
from finetune_cot.models.classification import is_classifier, new_head
from finetune_cot.models.embedded import embedded_model_folder
from finetune_cot.models.finetuned import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_weights
from finetune_cot.models.loading import auto_class, model_folder, quiet_transformers, told_as_model_error
from finetune_cot.models.quantized import QUANTIZATION_FILE, compute_as_asked, quantization_config
from finetune_cot.models.registry import resolve
from finetune_cot.models.safety import read_object
from finetune_cot.models.writing import disk_errors
from finetune_cot.tasks.label_space import LabelSpace

PROBES = (
    "Q: Ann has 3 apples and buys 4 more. How many apples does she have?\nA: Let's think step by step.",
    "Is the coin still heads up? ###",
    "Instruction: Sort the words pear, fig, plum.\n\nResponse:",
)
"""Texts on which a model before and after its export is compared."""

_TOKENIZER_FILES = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model"),
)
_GENERATION_CONFIG = "generation_config.json"
_TOLERANCE = 1e-2
"""Largest difference of float32 logits, relative to the largest logit, that rounding explains."""


def write_whole_model(model: Any, folder: Path, source: Path, dtype: str) -> None:
    """Write a model whose adapter is merged, or that has none, in the form of transformers.

    Configuration and tokenizer are those files of ``source``: written anew, they would be in a form that only
    the installed transformers reads.

    Args:
        model: The transformers model; it is turned into that number format.
        folder: Where to write.
        source: Folder of the base model, or of a checkpoint with a whole model.
        dtype: Number format of the weights.
    """
    with disk_errors(), quiet_transformers():
        model.to(getattr(torch, dtype)).save_pretrained(folder)
    config = {**read_object(source / "config.json"), **_about_head(read_object(folder / "config.json"))}
    config.pop("torch_dtype", None)
    _write_object(folder / "config.json", {**config, "dtype": dtype})
    _copy_tokenizer(source, folder)


def _about_head(written: Mapping[str, Any]) -> dict[str, Any]:
    """What a classifier's configuration says and its base model's does not."""
    is_classifier = any("SequenceClassification" in name for name in written.get("architectures") or ())
    own = ("architectures", "id2label", "label2id", "pad_token_id") if is_classifier else ()
    return {name: written[name] for name in own if name in written}


def write_adapter(adapter: Path, folder: Path, base_name: str, dtype: str) -> None:
    """Write an adapter in the form that it has, with the tokenizer of its base model.

    Args:
        adapter: Folder of the adapter.
        folder: Where to write.
        base_name: The base model, by a key of ours.
        dtype: Number format of the weights.
    """
    from safetensors.torch import save_file

    config = {**read_object(adapter / ADAPTER_CONFIG), "base_model_name_or_path": name_for_peft(base_name)}
    # As each library writes them, so that equal weights are equal files.
    file, about = (BOTTLENECK_WEIGHTS, None) if is_bottleneck(config) else (ADAPTER_WEIGHTS, {"format": "pt"})
    weights = {
        name: tensor.to(getattr(torch, dtype)).contiguous()
        for name, tensor in read_weights(adapter / file).items()
    }
    with disk_errors():
        save_file(weights, folder / file, metadata=about)
    _write_object(folder / ADAPTER_CONFIG, config)
    _copy(adapter, folder, (*HEAD_FILES, QUANTIZATION_FILE))
    _copy_tokenizer(model_folder(base_name)[0], folder)


def name_for_peft(base_name: str) -> str:
    """A base model's name as PEFT needs it: the embedded model goes by its folder in the cache."""
    found = resolve(base_name)
    return str(embedded_model_folder()) if found.kind == "embedded" else found.location


def probe_logits(model: Any, tokenizer: Any) -> list[Float[Tensor, "tokens vocabulary"]]:
    """Logits of a model on the probes, in float32."""
    with quiet_adapters():
        return [_logits(model, tokenizer, text) for text in PROBES]


def load_exported(folder: Path, labels: LabelSpace | None) -> tuple[Any, Any]:
    """Model and tokenizer of an exported folder, loaded by plain transformers, PEFT or adapters.

    Args:
        folder: What was exported.
        labels: The labels of a classifier; None of a language model.

    Raises:
        ModelError: they cannot load it.
    """
    from transformers import AutoTokenizer

    with quiet_adapters(), told_as_model_error(folder):
        is_adapter = (folder / ADAPTER_CONFIG).is_file()
        model = _plain_adapted(folder, labels) if is_adapter else _plain_model(str(folder), labels)
        compute_as_asked(model)
        return model.eval(), AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def max_difference(
    before: Sequence[Float[Tensor, "tokens vocabulary"]],
    after: Sequence[Float[Tensor, "tokens vocabulary"]],
    *,
    where: Path,
    dtype: str,
    same_weights: bool = True,
) -> float:
    """Largest absolute difference of logits.

    Args:
        before: Of the checkpoint.
        after: Of the export.
        where: The export's folder, for the message.
        dtype: Number format of the exported weights.
        same_weights: Whether nothing but rounding may make a difference.

    Raises:
        ModelError: the exported model sees other tokens, or differs by more than float32 rounding explains.
    """
    if [tensor.shape for tensor in before] != [tensor.shape for tensor in after]:
        raise ModelError("the exported tokenizer gives other tokens than the checkpoint's", where=where)
    pairs = list(zip(before, after, strict=True))
    largest = max(float((one - other).abs().max()) for one, other in pairs)
    scale = max(float(one.abs().max()) for one in before)
    if not math.isfinite(largest):
        raise ModelError(
            f"the logits are not finite in {dtype}", where=where, remedy="export with --dtype bfloat16"
        )
    if same_weights and dtype == "float32" and not largest <= _TOLERANCE * max(scale, 1.0):
        raise ModelError(
            f"the exported model differs from the checkpoint: by {largest:.3g} in a logit", where=where
        )
    return largest


def _plain_adapted(folder: Path, labels: LabelSpace | None) -> Any:
    config = read_object(folder / ADAPTER_CONFIG)
    model = _plain_model(
        config["base_model_name_or_path"], labels, quantized=(folder / QUANTIZATION_FILE).is_file()
    )
    if is_bottleneck(config):
        import adapters

        adapters.init(model)
        model.load_adapter(str(folder), set_active=True, use_safetensors=True)
        return model
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(folder))


def _plain_model(name: str, labels: LabelSpace | None, quantized: bool = False) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    how: dict[str, Any] = {"num_labels": len(labels.names)} if labels else {}
    kind = auto_class(config, labels)
    if quantized:
        head = new_head(config, kind) if labels else None
        how |= {
            "quantization_config": quantization_config(torch.float32, head),
            "device_map": "cpu",
            "dtype": torch.float32,  # else transformers 4 takes float16 for what is not quantized
        }
    return kind.from_pretrained(name, trust_remote_code=False, use_safetensors=True, **how)


def _logits(model: Any, tokenizer: Any, text: str) -> Float[Tensor, "tokens vocabulary"]:
    inputs = tokenizer(text, return_tensors="pt").input_ids.to(model.device)
    # An encoder-decoder reads the text and is asked to repeat it.
    repeats = model.config.is_encoder_decoder and not is_classifier(model)
    target = {"labels": inputs} if repeats else {}
    with torch.inference_mode():
        logits: Tensor = model(input_ids=inputs, **target).logits[0]
    return logits.float().cpu()


def _copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy tokenizer and generation config as they are, where the source has them."""
    _copy(source, folder, (*_TOKENIZER_FILES, _GENERATION_CONFIG))


def _copy(source: Path, folder: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for file in source.glob(pattern):
            shutil.copyfile(file, folder / file.name)


def _write_object(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
