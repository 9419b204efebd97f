"""Margins and losses at label tokens, and their gradients on the logits in closed form.

With y the label and l = logsumexp over the other tokens' logits, the margin is z_y - l, its gradient on the
logits onehot(y) - softmax(others), and the loss log(1 + exp(-margin)): no division, no clamp, no 1 - p.

For a classifier a row is a sample, and the other tokens are the other labels of its task. A score has no
odds: its loss is the squared error, and its margin counts as 0.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor

from finetune_cot.batches.collation import Batch, Choices
from finetune_cot.batches.encoding import IGNORED

Quantity = Literal["margin", "loss"]

_CHUNK_LOGITS = 1 << 23
"""Logits that are in memory at a time: 32 MB."""


@dataclass(frozen=True)
class LabelRows:
    """Where the label tokens of a batch are predicted: one row for each, samples in order."""

    sample: Int[Tensor, " rows"]
    position: Int[Tensor, " rows"]
    target: Int[Tensor, " rows"]
    counts: Int[Tensor, " samples"]
    """Label tokens of each sample."""

    def mean(self, values: Float[Tensor, " rows"]) -> Float[Tensor, " samples"]:
        """Means over the label tokens of each sample."""
        return values.new_zeros(len(self.counts)).index_add_(0, self.sample, values) / self.counts


@dataclass(frozen=True)
class TokenMargins:
    """Margins at label tokens, and the gradient that belongs to them."""

    margins: Float[Tensor, " rows"]
    gradient: Float[Tensor, "rows _"]
    """Of each row's margin or loss, on its logits or on the hidden state that they were computed from."""


@dataclass(frozen=True)
class RowGradients:
    """Margins and losses of rows of logits, and the gradient of one of them on the logits."""

    margins: Float[Tensor, " rows"]
    losses: Float[Tensor, " rows"]
    gradient: Float[Tensor, "rows vocabulary"]


def row_gradients(
    logits: Float[Tensor, "rows vocabulary"],
    targets: Int[Tensor, " rows"],
    quantity: Quantity,
    choices: Choices | None = None,
) -> RowGradients:
    """Margins, losses and gradients on the logits.

    Args:
        logits: In float32; their memory is used for the gradient. Of a classifier minus infinity at labels
            that are none of the sample's task.
        targets: The label of each row.
        quantity: What is differentiated.
        choices: What a classifier is to say.
    """
    own = logits.gather(1, targets[:, None])[:, 0]
    found = margins_(logits, targets)
    gradient = found.gradient * outer_derivative(found.margins, quantity)[:, None]
    losses = losses_of(found.margins)
    if choices is None or choices.scores.isnan().all():
        return RowGradients(found.margins, losses, gradient)
    is_class, errors = choices.scores.isnan(), own - choices.scores.nan_to_num()
    on_score = torch.zeros_like(gradient).scatter_(1, targets[:, None], 2 * errors[:, None])
    return RowGradients(
        torch.where(is_class, found.margins, 0.0),
        torch.where(is_class, losses, errors**2),
        torch.where(is_class[:, None], gradient, on_score),
    )


def label_rows(batch: Batch, *, encoder_decoder: bool) -> LabelRows:
    """Rows of a batch: a decoder predicts at position t - 1, an encoder-decoder's decoder at t.

    A classifier predicts once for a sample, at a position of its own.
    """
    if batch.choices:
        sample = torch.arange(len(batch.labels), device=batch.labels.device)
        once = torch.ones_like(sample)
        return LabelRows(sample, torch.zeros_like(sample), batch.labels[:, 0], once)
    if encoder_decoder:
        labels, real = batch.labels, torch.ones_like(batch.labels)
    else:
        labels, real = batch.labels[:, 1:], batch.attention_mask[:, :-1]
    # A label at the first token of a sample that is padded on the left has nothing to be predicted from.
    labelled = (labels != IGNORED) & (real != 0)
    sample, position = labelled.nonzero(as_tuple=True)
    return LabelRows(sample, position, labels[labelled], labelled.sum(dim=1))


def losses_of(margins: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Negative log-likelihoods in nats: p = sigmoid(margin)."""
    return functional.softplus(-margins)


def margins_(logits: Float[Tensor, "rows vocabulary"], targets: Int[Tensor, " rows"]) -> TokenMargins:
    """Margins and their *negative* gradients on the logits, softmax(others) - onehot.

    Args:
        logits: In float32; their memory is used for the gradient.
        targets: The label of each row.
    """
    own = targets[:, None]
    label_logits = logits.gather(1, own)
    logits.scatter_(1, own, -torch.inf)
    top, place = logits.max(dim=1, keepdim=True)
    torch.softmax(logits, dim=1, out=logits)
    # exp(top - l) is the largest probability among the others, at least 1 / vocabulary.
    others = top - logits.gather(1, place).log()
    logits.scatter_(1, own, -1.0)
    return TokenMargins((label_logits - others)[:, 0], logits)


def outer_derivative(margins: Float[Tensor, " rows"], quantity: Quantity) -> Float[Tensor, " rows"]:
    """What `margins_`' gradients are to be multiplied with to be those of the margin, or of the loss."""
    return -torch.ones_like(margins) if quantity == "margin" else torch.sigmoid(-margins)


def head_gradients(
    head: Any,
    hidden: Float[Tensor, "rows inner"],
    targets: Int[Tensor, " rows"],
    quantity: Quantity,
    autocast: torch.dtype | None = None,
) -> TokenMargins:
    """Margins from hidden states, and the gradients on these, through a frozen head in chunks of rows.

    The whole logits, the largest tensor of a small model, are never in memory.
    """
    gradient = torch.empty_like(hidden)
    margins = torch.empty(len(hidden), device=hidden.device)
    rows = max(1, _CHUNK_LOGITS // head_width(head))
    for start in range(0, len(hidden), rows):
        part = slice(start, start + rows)
        with torch.enable_grad(), torch.autocast(hidden.device.type, autocast, enabled=autocast is not None):
            inputs = hidden[part].detach().requires_grad_()
            logits = head(inputs)
        found = margins_(logits.detach().float(), targets[part])
        margins[part] = found.margins
        (back,) = torch.autograd.grad(logits, inputs, found.gradient.to(logits.dtype))
        gradient[part] = back * outer_derivative(found.margins, quantity)[:, None]
    return TokenMargins(margins, gradient)


def head_width(head: Any) -> int:
    """Size of the vocabulary."""
    return int(getattr(head, "out_features", None) or head.weight.shape[0])


def padded_positions(
    rows: LabelRows,
) -> tuple[Int[Tensor, "samples labels"], Bool[Tensor, "samples labels"]]:
    """The same rows with an axis of samples: their positions, and which of them are no filling."""
    width = int(rows.counts.max())
    real = torch.arange(width, device=rows.counts.device)[None, :] < rows.counts[:, None]
    positions = torch.zeros(real.shape, dtype=torch.long, device=real.device)
    positions[real] = rows.position
    return positions, real
