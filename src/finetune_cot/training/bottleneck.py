"""Bottleneck adapters on a base model: after the attention and the feed-forward part of each block."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from finetune_cot.errors import ModelError, UsageError
from finetune_cot.models.bottleneck import ADAPTER_NAME, adapter_parameters, put_on
from finetune_cot.models.classification import head_parameters, is_classifier


@dataclass(frozen=True)
class Bottleneck:
    """Where bottleneck adapters sit and what they compute: y + U f(D y) of a block's part y.

    Raises:
        UsageError: there would be none.
    """

    mh_adapter: bool
    """After the attention."""
    output_adapter: bool
    """After the feed-forward part."""
    reduction_factor: float
    """Width of the model over that of the bottleneck."""
    non_linearity: str

    def __post_init__(self) -> None:
        if not (self.mh_adapter or self.output_adapter):
            raise UsageError("leaves no adapter to train", where="--no-mh-adapter --no-output-adapter")


def add_bottleneck(
    model: Any, bottleneck: Bottleneck, *, base_name: str, seed: int, freeze_head: bool = False
) -> Any:
    """Freeze a model and give it trainable bottleneck adapters, initialized from the seed.

    Args:
        model: A transformers model; changed in place.
        bottleneck: Where the adapters sit and what they compute.
        base_name: Name of the base model, recorded with the adapter.
        seed: Seed of U and D; both are small, so that the model does nearly what it did before.
        freeze_head: Whether a classifier's head, which is trained with the adapter, is not.

    Raises:
        UsageError: the adapters library is not there.
        ModelError: it does not know models of this family, or such classifiers.
    """
    if is_classifier(model) and model.config.model_type in ("t5", "mt5"):
        raise ModelError(
            "the adapters library takes the whole model for the head of a T5 that classifies",
            where="--method",
            remedy="use --method lora for this model",
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        put_on(model, ADAPTER_NAME, asdict(bottleneck), base_name=base_name, where="--method")
    return _trainable(model, freeze_head)


def resume_bottleneck(model: Any, bottleneck: Bottleneck, *, where: object, freeze_head: bool = False) -> Any:
    """Make a loaded adapter trainable again.

    Args:
        model: A model with an adapter of the adapters library.
        bottleneck: What the adapter must be.
        where: Its folder, for the message.
        freeze_head: Whether a classifier's head is not trained.

    Raises:
        ModelError: the adapter is another.
    """
    (name,) = model.adapters_config.adapters
    check_bottleneck(bottleneck, model.adapters_config.get(name), where)
    return _trainable(model, freeze_head)


def check_bottleneck(wanted: Bottleneck, found: Mapping[str, Any], where: object) -> None:
    """Refuse an adapter that sits elsewhere or computes something else, which its weights may not tell.

    Args:
        wanted: What it must be.
        found: Its configuration, as the adapters library has it.
        where: Its folder, for the message.

    Raises:
        ModelError: names the option.
    """
    for name, value in asdict(wanted).items():
        if found.get(name) != value:
            option = "--" + name.replace("_", "-")
            raise ModelError(
                f"the adapter was trained with {option} {found.get(name)}, not {value}",
                where=where,
                remedy="give the options that it was trained with",
            )


def _trainable(model: Any, freeze_head: bool) -> Any:
    head = {} if freeze_head else head_parameters(model)
    for parameter in (*adapter_parameters(model).values(), *head.values()):
        parameter.requires_grad_(True)
    return model
