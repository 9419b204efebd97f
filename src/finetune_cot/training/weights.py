"""The trainable weights of a model: taken out, put back, and written to a folder that others can load."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune_cot.errors import ArtifactError, ModelError
from finetune_cot.models.bottleneck import BOTTLENECK_WEIGHTS, adapter_parameters, write_bottleneck
from finetune_cot.models.classification import head_parameters
from finetune_cot.models.naming import weight_name
from finetune_cot.models.quantized import note_quantization
from finetune_cot.training.sharding import is_sharded, put_into, whole

ADAPTER_FILE = "adapter_model.safetensors"
_WEIGHT_FILES = ("*model*.safetensors", BOTTLENECK_WEIGHTS)
"""An adapter's file, a whole model's, or the parts of one."""


def trainable_weights(model: Any) -> dict[str, Tensor]:
    """Trainable parameters by the name that they have in a file."""
    return {
        weight_name(name): parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def saved_weights(model: Any) -> dict[str, Tensor]:
    """Parameters that a file of this model holds, by their names in it.

    Of an adapter these are its own and those of a classifier's head, which is new, so that it is there even
    if it is frozen; of a model without one they are all.
    """
    named = dict(model.named_parameters())
    if isinstance(model, PeftModel):
        named = {name: value for name, value in named.items() if ".default" in name}
    elif _has_bottleneck(model):
        named = {**adapter_parameters(model), **head_parameters(model)}
    return {weight_name(name): parameter.detach() for name, parameter in named.items()}


def set_trainable_weights(model: Any, weights: Mapping[str, Tensor], where: object = None) -> None:
    """Put weights into the trainable parameters; every one must be there, and none may be left over.

    Raises:
        ModelError: names or shapes differ from those of the model.
    """
    parameters = trainable_weights(model)
    check_fit(parameters, weights, where)
    for name, parameter in parameters.items():
        put_into(parameter, weights[name])


def fitting_weights(model: Any, weights: Mapping[str, Tensor], where: object) -> dict[str, Tensor]:
    """The trainable ones of the weights that a file of this model holds.

    A file of a whole model, or with a frozen head, holds frozen ones as well, which must be those that the
    model has.

    Raises:
        ModelError: names or shapes differ from those of the model, or frozen weights do.
    """
    trained, everything = trainable_weights(model), saved_weights(model)
    check_fit(everything, weights, where)
    for name in sorted(everything.keys() - trained.keys()):
        if not _same(whole(everything[name]), weights[name]):
            raise ModelError(
                f"{name} is frozen here, and another than the model's",
                where=where,
                remedy="give the model, --train-layers and --seed that the weights were trained with",
            )
    return {name: weights[name] for name in trained}


def check_fit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: object) -> None:
    """Refuse weights whose names or shapes differ from those of the model.

    Raises:
        ModelError: names how many differ, and one of them.
    """
    differing = sorted(expected.keys() ^ found.keys())
    differing += [
        name for name in expected.keys() & found.keys() if expected[name].shape != found[name].shape
    ]
    if differing:
        raise ModelError(
            f"weights of another model or adapter: {len(differing)} differ, such as {differing[0]}",
            where=where,
            remedy="give the model and the options of the adapter that the weights were trained with",
        )


def weights_writer(model: Any) -> Callable[[Path], None]:
    """A function that writes the weights into a folder; those of a divided model are gathered now, by all."""
    if not is_sharded(model):
        return partial(save_weights, model)
    named = saved_weights(model) if isinstance(model, PeftModel) else model.state_dict(keep_vars=True)
    # What has two names, as tied embeddings have, is gathered once, and stays one.
    gathered = {id(weight): whole(weight.detach()) for weight in named.values()}
    weights = {name: gathered[id(weight)] for name, weight in named.items()}
    return partial(save_weights, model, weights=weights)


def save_weights(model: Any, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
    """Write an adapter as PEFT or the adapters library does, or a whole model as transformers does.

    Args:
        model: What is written.
        folder: Where.
        weights: An adapter's or a whole model's weights, where the model does not hold them as they are.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written to.
    """
    if isinstance(model, PeftModel):
        model.peft_config["default"].save_pretrained(str(folder))
        weights = saved_weights(model) if weights is None else weights
        tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
        save_tensors(tensors, folder / ADAPTER_FILE)
        note_quantization(model, folder)
    else:
        try:
            if _has_bottleneck(model):
                write_bottleneck(model, folder)
                note_quantization(model, folder)
            else:
                model.save_pretrained(folder, state_dict=weights)
        except SafetensorError as error:
            raise _not_written(folder, error) from None


def read_weights(folder: Path) -> dict[str, Tensor]:
    """What `save_weights` wrote.

    Raises:
        ArtifactError: a file is torn, or there is none.
    """
    weights: dict[str, Tensor] = {}
    for file in sorted(file for pattern in _WEIGHT_FILES for file in folder.glob(pattern)):
        weights |= read_tensors(file)
    if not weights:
        raise ArtifactError("holds no weights", where=folder, remedy="run `ftcot train` again")
    return weights


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written to.
    """
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise _not_written(path, error) from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Content of a safetensors file.

    Raises:
        ArtifactError: it is missing or torn.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"is missing or torn: {error}", where=path, remedy="run `ftcot train --overwrite`"
        ) from None


def _not_written(path: Path, error: SafetensorError) -> ArtifactError:
    return ArtifactError(
        f"cannot be written: {error}",
        where=path,
        remedy="the last checkpoint is kept; free some space and run the command again",
    )


def _has_bottleneck(model: Any) -> bool:
    return hasattr(model, "adapters_config")


def _same(first: Tensor, second: Tensor) -> bool:
    """Whether weights are the same but for what a coarser number format rounds."""
    second = second.to(first.device)
    return torch.equal(first, second.to(first.dtype)) or torch.equal(first.to(second.dtype), second)
