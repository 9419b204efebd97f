"""Classifiers: the body of a model with a new head, whose rows are labels (`tasks.label_space`)."""

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from finetune_cot.tasks.label_space import LabelSpace


def is_classifier(model: Any) -> bool:
    """Whether a model, with or without PEFT's wrapper, has a head of labels and not of tokens."""
    return without_wrapper(model).get_output_embeddings() is None


def without_wrapper(model: Any) -> Any:
    """The transformers model within PEFT's."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def head_modules(model: Any) -> list[str]:
    """Names of the modules of a classifier that have weights and are no part of its body.

    Args:
        model: A transformers model, without PEFT's wrapper.
    """
    return [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and any(True for _ in child.parameters())
    ]


def new_head(config: Any, kind: Any) -> list[str]:
    """Names of the modules of a classifier's head, before it is loaded.

    Args:
        config: The model's configuration.
        kind: The class of transformers that makes a model of it.
    """
    with torch.device("meta"):
        return head_modules(kind.from_config(config, trust_remote_code=False))


def head_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    """Weights of a classifier's head by name; none of a language model.

    Args:
        model: A transformers model, without PEFT's wrapper.
    """
    heads = set(head_modules(model)) if is_classifier(model) else set()
    return {name: value for name, value in model.named_parameters() if name.partition(".")[0] in heads}


def label_config(labels: LabelSpace) -> dict[str, Any]:
    """What a model's configuration says of its labels."""
    names = labels.names
    return {"id2label": dict(enumerate(names)), "label2id": {name: row for row, name in enumerate(names)}}


@contextlib.contextmanager
def seeded_head(labels: LabelSpace | None, seed: int) -> Iterator[None]:
    """Draw the weights of a new head from a seed, and leave PyTorch's random state as it was."""
    if labels is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def class_logits(
    model: Any, inputs: Mapping[str, Tensor], allowed: Bool[Tensor, "samples classes"]
) -> Float[Tensor, "samples classes"]:
    """Logits of a classifier; minus infinity at labels that are none of the sample's task.

    Args:
        model: The classifier, with or without PEFT's wrapper.
        inputs: By the names of its arguments; token types and positions are left out where it knows none.
        allowed: Rows of the head that are of the sample's task.
    """
    known = inspect.signature(without_wrapper(model).forward).parameters
    given: dict[str, Any] = {name: value for name, value in inputs.items() if name in known}
    if "use_cache" in known:
        given["use_cache"] = False
    logits: Tensor = model(**given).logits
    return logits.masked_fill(~allowed, -torch.inf)
