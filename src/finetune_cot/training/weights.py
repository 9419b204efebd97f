"""The trainable weights of a model: taken out, put back, and written to a folder that others can load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor

from finetune_cot.errors import ModelError

ADAPTER_FILE = "adapter_model.safetensors"


def trainable_weights(model: Any) -> dict[str, Tensor]:
    """Trainable parameters by the name that they have in a file.

    PEFT's files leave out the adapter's name: ``...lora_A.default.weight`` is ``...lora_A.weight`` there.
    """
    return {
        _file_name(name): parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def set_trainable_weights(model: Any, weights: Mapping[str, Tensor], where: object = None) -> None:
    """Put weights into the trainable parameters; every one must be there, and none may be left over.

    Raises:
        ModelError: names or shapes differ from those of the model.
    """
    parameters = trainable_weights(model)
    differing = sorted(parameters.keys() ^ weights.keys())
    differing += [
        name for name in parameters.keys() & weights.keys() if parameters[name].shape != weights[name].shape
    ]
    if differing:
        raise ModelError(
            f"weights of another model or adapter: {len(differing)} differ, such as {differing[0]}",
            where=where,
            remedy="give the model and the LoRA options that the weights were trained with",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def save_weights(model: Any, folder: Path) -> None:
    """Write an adapter as PEFT does, or a whole model as transformers does, as safetensors."""
    if isinstance(model, PeftModel):
        model.peft_config["default"].save_pretrained(str(folder))
        weights = {name: tensor.cpu().contiguous() for name, tensor in trainable_weights(model).items()}
        save_file(weights, folder / ADAPTER_FILE, metadata={"format": "pt"})
    else:
        model.save_pretrained(folder)


def _file_name(parameter_name: str) -> str:
    return parameter_name.replace(".default.", ".")
