"""The language-modelling loss of each sample, computed where there are labels only."""

from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor

from finetune_cot.batches.collation import Batch
from finetune_cot.batches.encoding import IGNORED


def sample_losses(model: Any, batch: Batch) -> tuple[Float[Tensor, " samples"], Int[Tensor, " samples"]]:
    """Sum of the label tokens' negative log-likelihoods, and their number, for each sample.

    Logits are computed only from the first to the last position at which any sample of the batch has a label:
    the head is a large part of a small model's cost, and prompts need none of it.

    Returns:
        Summed losses ``[samples]`` in nats, in float32, and label tokens ``[samples]``.
    """
    if model.config.is_encoder_decoder:
        logits = model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels
        ).logits
        targets = batch.labels
    else:
        # The token at position t + 1 is predicted at position t.
        labelled = (batch.labels[:, 1:] != IGNORED).any(dim=0).nonzero().squeeze(1)
        logits = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            logits_to_keep=labelled,
            use_cache=False,
        ).logits
        targets = batch.labels[:, 1:][:, labelled]
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(targets.shape).sum(dim=1), (targets != IGNORED).sum(dim=1)


def mean_token_loss(model: Any, batch: Batch) -> Float[Tensor, ""]:
    """Mean loss over all label tokens of the batch, in nats: what training minimizes."""
    losses, tokens = sample_losses(model, batch)
    return losses.sum() / tokens.sum()


@torch.no_grad()
def mean_sample_losses(model: Any, batch: Batch) -> Float[Tensor, " samples"]:
    """Mean loss over the label tokens of each sample, in nats: independent of what else is in the batch."""
    losses, tokens = sample_losses(model, batch)
    return losses / tokens
