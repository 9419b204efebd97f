"""The language-modelling loss of each sample, computed where there are labels only."""

import inspect
from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor

from finetune_cot.batches.collation import Batch
from finetune_cot.batches.encoding import IGNORED


def sample_losses(model: Any, batch: Batch) -> tuple[Float[Tensor, " samples"], Int[Tensor, " samples"]]:
    """Sum of the label tokens' negative log-likelihoods, and their number, for each sample.

    Returns:
        Summed losses ``[samples]`` in nats, in float32, and label tokens ``[samples]``.
    """
    logits, targets = logits_and_targets(model, batch)
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(targets.shape).sum(dim=1), (targets != IGNORED).sum(dim=1)


@torch.no_grad()
def mean_sample_losses(model: Any, batch: Batch) -> Float[Tensor, " samples"]:
    """Mean loss over the label tokens of each sample, in nats: independent of what else is in the batch."""
    losses, tokens = sample_losses(model, batch)
    return losses / tokens


def logits_and_targets(
    model: Any, batch: Batch
) -> tuple[Float[Tensor, "samples positions vocabulary"], Int[Tensor, "samples positions"]]:
    """Logits, and the tokens that they are to predict, where any sample of the batch has a label.

    The head is a large part of a small model's cost, and prompts need none of it.
    """
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
    if model.config.is_encoder_decoder:
        base = _base(model)
        shifted = base.prepare_decoder_input_ids_from_labels(labels=batch.labels)
        return model(**inputs, decoder_input_ids=shifted).logits, batch.labels
    # The token at position t + 1 is predicted at position t.
    labelled = (batch.labels[:, 1:] != IGNORED).any(dim=0).nonzero().squeeze(1)
    targets = batch.labels[:, 1:][:, labelled]
    if "logits_to_keep" in inspect.signature(_base(model).forward).parameters:
        return model(**inputs, logits_to_keep=labelled).logits, targets
    # Such as GPT-Neo, GPT-J and OPT in transformers 4.
    return model(**inputs).logits[:, labelled], targets


def _base(model: Any) -> Any:
    """The transformers model inside a PEFT adapter, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
