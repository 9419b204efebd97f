"""Text from a model: one batch of prompts at a time."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from finetune_cot.errors import ModelError
from finetune_cot.models.decoding import Ending, decode_batch
from finetune_cot.models.loading import LoadedModel, autocast_dtype, quiet_transformers

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GenerationSettings:
    """How text is continued."""

    max_new_tokens: int
    """Tokens of a completion, at most."""
    temperature: float = 0.0
    """0 is greedy; otherwise tokens are drawn from the whole distribution at this temperature."""
    stop: tuple[str, ...] = ()
    """Strings that end a completion and are no part of it."""
    seed: int = 0
    """Seed of the draws; the same batch and seed give the same text, whatever was drawn before."""


@dataclass(frozen=True)
class Generated:
    """A completion."""

    text: str
    """Without special tokens and stop strings, with its spaces."""
    finish_reason: FinishReason
    """``stop`` where the model or a stop string ended it, ``length`` where the limit did."""
    prompt_tokens: int
    completion_tokens: int
    """Tokens that the model gave, its end token among them."""


def generate(
    loaded: LoadedModel,
    prompts: Sequence[str],
    settings: GenerationSettings,
    tasks: Sequence[str] | None = None,
) -> list[Generated]:
    """Continue prompts as one batch, padded on the left (an encoder's on the right); in their order.

    Neither PyTorch's random state nor sampling settings in the model's folder matter, nor are they changed.

    Args:
        loaded: The model.
        prompts: Texts to continue.
        settings: How.
        tasks: Task of each prompt; an ensemble may have weights for it.

    Raises:
        ModelError: a prompt fills the model's context, or the batch does not fit into the device's memory.
    """
    if not prompts:
        return []
    mixture = None
    if loaded.mixture:
        mixture = loaded.mixture.rows(tasks or [""] * len(prompts), settings.temperature)
    is_decoder = loaded.model_type == "decoder"
    batch = loaded.tokenizer(
        list(prompts) * (mixture.copies if mixture else 1),
        return_tensors="pt",
        padding=True,
        padding_side="left" if is_decoder else "right",
    )
    inputs = {name: batch[name].to(loaded.device) for name in ("input_ids", "attention_mask")}
    limit = _room(loaded, inputs["input_ids"].shape[1], settings.max_new_tokens)
    ending = Ending(loaded.tokenizer, end_token_ids(loaded), settings.stop)
    with _sampling(settings.seed, loaded.device), _computing(loaded), quiet_transformers():
        config = _generation_config(loaded, settings, limit)
        completions = decode_batch(loaded.model, **inputs, config=config, ending=ending, mixture=mixture)
    lengths = inputs["attention_mask"].sum(dim=1).tolist()
    found = [_finish(ids, length, ending) for ids, length in zip(completions, lengths, strict=True)]
    return found[: len(prompts)]


def end_token_ids(loaded: LoadedModel) -> tuple[int, ...]:
    """Tokens that end a text: those of the model's generation config, and the tokenizer's."""
    named = loaded.model.generation_config.eos_token_id
    ids = set(named if isinstance(named, list | tuple) else [named]) | {loaded.tokenizer.eos_token_id}
    return tuple(sorted(ids - {None}))


def _finish(ids: list[int], prompt_tokens: int, ending: Ending) -> Generated:
    """Cut a row of new tokens where it ended; what follows is padding."""
    at_end = next((position for position, token in enumerate(ids) if token in ending.token_ids), len(ids))
    text = ending.text(ids[:at_end])
    places = [place for place in (text.find(string) for string in ending.stop) if place >= 0]
    if places:
        used = next(count for count in range(1, at_end + 1) if ending.has_stop(ids[:count]))
        return Generated(text[: min(places)], "stop", prompt_tokens, used)
    if at_end == len(ids):
        return Generated(text, "length", prompt_tokens, len(ids))
    return Generated(text, "stop", prompt_tokens, at_end + 1)


def _room(loaded: LoadedModel, width: int, wanted: int) -> int:
    """New tokens that a batch may have, so that a decoder's context is not exceeded."""
    context = getattr(loaded.model.config, "max_position_embeddings", None)
    if loaded.model_type != "decoder" or not context or width + wanted <= context:
        return wanted
    if width >= context:
        raise ModelError(
            f"a prompt of {width} tokens leaves no room in the model's context of {context}",
            where=loaded.base_name,
            remedy="use shorter prompts or another model",
        )
    return int(context) - width


def _generation_config(loaded: LoadedModel, settings: GenerationSettings, limit: int) -> Any:
    import transformers

    generation_config: Any = transformers.GenerationConfig
    sampled = {"do_sample": True, "temperature": settings.temperature, "top_k": 0, "top_p": 1.0}
    return generation_config(
        max_new_tokens=limit,
        eos_token_id=list(end_token_ids(loaded)) or None,
        pad_token_id=loaded.tokenizer.pad_token_id,
        use_cache=True,
        # A mixture draws by itself.
        **(sampled if settings.temperature > 0 and loaded.mixture is None else {"do_sample": False}),
    )


@contextlib.contextmanager
def _sampling(seed: int, device: torch.device) -> Iterator[None]:
    """A random state of its own for the draws within."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _computing(loaded: LoadedModel) -> Iterator[None]:
    """Inference in the model's precision."""
    mixed = autocast_dtype(loaded.precision)
    with torch.inference_mode(), contextlib.ExitStack() as stack:
        if mixed is not None:
            stack.enter_context(torch.autocast(loaded.device.type, dtype=mixed))
        try:
            yield
        except torch.OutOfMemoryError:
            raise ModelError(
                "the batch does not fit into the device's memory",
                where=loaded.base_name,
                remedy="give a smaller --inference-batch-size",
            ) from None
