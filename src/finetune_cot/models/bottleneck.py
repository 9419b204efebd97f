"""Bottleneck adapters (Houlsby et al. 2019) by the adapters library, which is an extra."""

import contextlib
import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from finetune_cot.errors import ModelError, UsageError
from finetune_cot.models.classification import is_classifier
from finetune_cot.models.loading import quiet_transformers
from finetune_cot.models.quantized import compute_as_asked, foreign_layer

ADAPTER_NAME = "finetune_cot"
"""What the adapters library calls ours."""
BOTTLENECK_WEIGHTS = "adapter.safetensors"
HEAD_FILES = ("model_head.safetensors", "head_config.json")
"""A classifier's head beside its adapter, as the adapters library has it."""


def require_adapters(where: object) -> None:
    """Refuse bottleneck adapters where the library that makes them is missing or cannot work.

    Raises:
        UsageError: names what is to be installed.
    """
    found = {package: _version(package) for package in ("adapters", "transformers")}
    if found["adapters"] and str(found["transformers"]).startswith("4."):
        return
    here = ", ".join(f"{package} {number}" for package, number in found.items() if number)
    raise UsageError(
        f"bottleneck adapters need the packages adapters and transformers 4.57; here is only {here}",
        where=where,
        remedy="in an environment of its own, run: pip install 'finetune-cot[adapters]'",
    )


def is_bottleneck(adapter_config: Mapping[str, Any]) -> bool:
    """Whether an ``adapter_config.json`` is one of the adapters library rather than PEFT's."""
    return "peft_type" not in adapter_config and isinstance(adapter_config.get("config"), dict)


def put_on(model: Any, name: str, adapter: Mapping[str, Any], *, base_name: str, where: object) -> None:
    """Freeze a model and put a new adapter on it, through which it computes from now on.

    Args:
        model: A transformers model; changed in place, and its class with it.
        name: Name of the adapter.
        adapter: Its configuration, as the adapters library has it.
        base_name: Name of the base model, recorded with the adapter.
        where: What asks for it, for the message.

    Raises:
        UsageError: the library is not there.
        ModelError: the library does not know models of this family, or such adapters.
    """
    require_adapters(where)
    import adapters

    device, dtype = model.device, model.dtype
    forward = type(model).forward
    with quiet_adapters():
        try:
            adapters.init(model)
            model.add_adapter(name, config=dict(adapter), set_active=True)
        except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            raise ModelError(
                f"the adapters library cannot adapt a {model.config.model_type}: {error}",
                where=where,
                remedy="use --method lora for this model",
            ) from None
    if unknown := foreign_layer(model):
        raise ModelError(
            f"the adapters library cannot adapt a {model.config.model_type} in 4 bits: see its {unknown}",
            where=where,
            remedy="use --method adapter or qlora for this model",
        )
    _keep_signature(type(model), forward)
    _keep_cache(model)
    compute_as_asked(model)  # the library puts layers of its own in the place of those in 4 bits
    for parameter in adapter_parameters(model).values():
        # Else the adapter would stay in float32 on the CPU.
        parameter.data = parameter.data.to(device=device, dtype=dtype)
    model.requires_grad_(False)
    model.config.name_or_path = base_name


def adapter_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    """Weights of the adapter on a model, by the names that the adapters library gives them in a file."""
    (name,) = model.adapters_config.adapters
    return {key: value for key, value in model.named_parameters() if f"adapters.{name}." in key}


def write_bottleneck(model: Any, folder: Path) -> None:
    """Write the adapter on a model, and a classifier's head, as the adapters library does.

    Its base is named as PEFT has it.
    """
    (name,) = model.adapters_config.adapters
    about = {"base_model_name_or_path": model.model_name}
    with_head = is_classifier(model)
    model.save_adapter(str(folder), name, meta_dict=about, with_head=with_head, use_safetensors=True)


@contextlib.contextmanager
def quiet_adapters() -> Iterator[None]:
    """Keep the advice of transformers and of the adapters library from the user's terminal."""
    logger = logging.getLogger("adapters")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet_transformers():
            yield
    finally:
        logger.setLevel(level)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _keep_signature(adapted: Any, forward: Callable[..., Any]) -> None:
    """Let a class that the library made show the arguments of the model's own forward, as generation asks."""
    inner = adapted.forward

    @functools.wraps(forward)
    def shown(self: Any, *args: Any, **named: Any) -> Any:
        return inner(self, *args, **named)

    adapted.forward = shown


def _keep_cache(model: torch.nn.Module) -> None:
    """Give keys and values of earlier tokens to layers of the library that know them by an older name.

    Its Llama and Mistral (in adapters 1.3) would read every token as if nothing came before it.
    """

    def rename(layer: Any, args: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if "past_key_values" in named:
            named["past_key_value"] = named.pop("past_key_values")
        return args, named

    for layer in model.modules():
        known = inspect.signature(layer.forward).parameters
        if "past_key_value" in known and "past_key_values" not in known:
            layer.register_forward_pre_hook(rename, with_kwargs=True)
