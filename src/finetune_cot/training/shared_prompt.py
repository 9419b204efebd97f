"""What all samples of a batch begin with, such as a system prompt, is read once and not by every sample.

A causal model's states at a token depend on nothing after it, so that the keys and values of the common first
tokens are the same for all samples; gradients flow back through them, summed over the samples.
"""

import inspect
from typing import Any

from torch import Tensor, nn
from transformers.cache_utils import DynamicCache, DynamicLayer

from finetune_cot.batches.collation import Batch
from finetune_cot.batches.encoding import IGNORED
from finetune_cot.training.sharding import is_sharded

_WORTH = 64
"""Least number of tokens to be saved: a pass over the prompt by itself reads all weights once more."""

_RECOMPUTING = "gradient_checkpointing"
"""Attribute of layers that compute their activations twice, and therefore keep no keys and values."""


def shared_tokens(base: Any, batch: Batch) -> int:
    """First tokens of a batch that are worth reading once for all samples; 0 for none.

    No label is predicted at one of them. They are shared on CPUs only, whose time goes by tokens, and not
    where dropout is to differ between samples.

    Args:
        base: A transformers decoder, without PEFT's wrapper.
        batch: The batch.
    """
    same = ((batch.input_ids == batch.input_ids[:1]) & (batch.attention_mask != 0)).all(dim=0)
    unlabelled = (batch.labels == IGNORED).all(dim=0)
    # The token before the first label predicts it, and so is no part of the prompt.
    shared = int((same[:-1] & unlabelled[:-1] & unlabelled[1:]).long().cumprod(dim=0).sum())
    worth = batch.input_ids.device.type == "cpu" and (len(batch.input_ids) - 1) * shared >= _WORTH
    return shared if worth and _can_share(base) else 0


def prompt_cache(model: Any, base: Any, batch: Batch, tokens: int) -> dict[str, Any]:
    """Read a batch's common first tokens once.

    Args:
        model: The model, with PEFT's wrapper if it has one.
        base: The model without it.
        batch: The batch.
        tokens: Common first tokens.

    Returns:
        Arguments with which the model reads the rest of every sample.
    """
    cache = DynamicCache(config=base.config)
    arguments = {str(_cache_argument(base)): cache, "use_cache": True}

    def no_rows(head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][:, :0],)

    handle = base.get_output_embeddings().register_forward_pre_hook(no_rows)
    try:
        prompt = batch.input_ids[:1, :tokens]
        model(input_ids=prompt, attention_mask=batch.attention_mask[:1, :tokens], **arguments)
    finally:
        handle.remove()
    cache.batch_repeat_interleave(len(batch.input_ids))
    return arguments


def _can_share(base: Any) -> bool:
    # Weights that are divided between devices are gathered for one pass at a time.
    if _cache_argument(base) is None or getattr(base, "_is_stateful", False) or is_sharded(base):
        return False
    if base.training and (
        _has_dropout(base) or any(getattr(part, _RECOMPUTING, False) for part in base.modules())
    ):
        return False
    return all(isinstance(layer, DynamicLayer) for layer in DynamicCache(config=base.config).layers)


def _has_dropout(base: Any) -> bool:
    if any(isinstance(part, nn.Dropout) and part.p > 0 for part in base.modules()):
        return True
    # Dropout of attention has no layer of its own.
    options = vars(base.config).items()
    return any("drop" in name and isinstance(value, float) and value > 0 for name, value in options)


def _cache_argument(base: Any) -> str | None:
    """The name of a decoder's argument for keys and values: the first one in newer transformers."""
    known = inspect.signature(base.forward).parameters
    return next((name for name in ("cache", "past_key_values") if name in known), None)
