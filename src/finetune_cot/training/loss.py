"""The language-modelling loss of each sample, computed where there are labels only."""

from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor

from finetune_cot.batches.collation import Batch, Choices
from finetune_cot.batches.encoding import IGNORED
from finetune_cot.models.classification import class_logits
from finetune_cot.training.choosing import with_squared_errors
from finetune_cot.training.shared_prompt import prompt_cache, shared_tokens


def sample_losses(model: Any, batch: Batch) -> tuple[Float[Tensor, " samples"], Int[Tensor, " samples"]]:
    """Sum of the label tokens' negative log-likelihoods, and their number, for each sample.

    Returns:
        Summed losses ``[samples]`` in nats, in float32, and label tokens ``[samples]``.
    """
    return losses_of(*logits_and_targets(model, batch), batch.choices)


def losses_of(
    logits: Float[Tensor, "labels vocabulary"],
    targets: Int[Tensor, "samples positions"],
    choices: Choices | None,
) -> tuple[Float[Tensor, " samples"], Int[Tensor, " samples"]]:
    """What `sample_losses` gives, from what `logits_and_targets` gave."""
    labelled = targets != IGNORED
    losses = functional.cross_entropy(logits.float(), targets[labelled], reduction="none")
    if choices:
        losses = with_squared_errors(losses, logits, targets, choices)
    by_position = losses.new_zeros(targets.shape).masked_scatter(labelled, losses)
    return by_position.sum(dim=1), labelled.sum(dim=1)


@torch.no_grad()
def token_losses(model: Any, batch: Batch) -> tuple[Float[Tensor, " labels"], Int[Tensor, " samples"]]:
    """Negative log-likelihoods of all label tokens, samples in order, and each sample's number of them.

    Returns:
        Losses ``[labels]`` in nats, in float32, and label tokens ``[samples]``.
    """
    logits, targets = logits_and_targets(model, batch)
    labelled = targets != IGNORED
    losses = functional.cross_entropy(logits.float(), targets[labelled], reduction="none")
    return losses, labelled.sum(dim=1)


@torch.no_grad()
def mean_sample_losses(model: Any, batch: Batch) -> Float[Tensor, " samples"]:
    """Mean loss over the label tokens of each sample, in nats: independent of what else is in the batch."""
    losses, tokens = sample_losses(model, batch)
    return losses / tokens


def logits_and_targets(
    model: Any, batch: Batch
) -> tuple[Float[Tensor, "labels vocabulary"], Int[Tensor, "samples positions"]]:
    """Logits of the label tokens, samples in order, and all tokens that are to be predicted.

    A classifier predicts one row of its head for each sample, and nothing else.

    The head is a large part of a small model's cost, and prompts need none of it. Nor does a decoder need to
    read what comes after the last position that predicts a label, or more than once what all samples begin
    with.
    """
    if batch.choices:
        return class_logits(model, batch.inputs, batch.choices.allowed), batch.labels
    # A decoder predicts the token at position t + 1 at position t, an encoder-decoder's decoder at t + 1.
    targets = batch.labels if model.config.is_encoder_decoder else batch.labels[:, 1:]
    labelled = targets != IGNORED
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
    if base.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = base.prepare_decoder_input_ids_from_labels(labels=batch.labels)
    else:
        end = int(labelled.any(dim=0).nonzero().max()) + 1
        start = shared_tokens(base, batch)
        inputs["input_ids"] = batch.input_ids[:, start:end]
        inputs["attention_mask"] = batch.attention_mask[:, :end]
        labelled = labelled[:, start:end]
        if start:
            inputs |= prompt_cache(model, base, batch, start)

    def labelled_rows(head: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][labelled][None],)

    handle = base.get_output_embeddings().register_forward_pre_hook(labelled_rows)
    try:
        logits: Tensor = model(**inputs).logits[0]
    finally:
        handle.remove()
    return logits, targets
