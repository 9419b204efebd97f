"""Features of samples: their gradients, projected layer by layer within one backward pass of the batch.

While a `Recorder` is at work no parameter requires a gradient, so that autograd computes none, keeps nothing
for one, and goes no deeper than the outputs of the lowest trainable layers. Hooks on the trainable layers
turn what arrives there into per-sample gradients by the rules of `gradients.layers`, project and drop them.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from finetune_cot.batches.collation import Batch
from finetune_cot.errors import DataError, ModelError
from finetune_cot.gradients.layers import TrainableLayer, trainable_layers
from finetune_cot.gradients.margins import (
    LabelRows,
    Quantity,
    head_gradients,
    label_rows,
    losses_of,
    padded_positions,
    row_gradients,
)
from finetune_cot.gradients.recomputing import recomputed_activations
from finetune_cot.models.classification import class_logits, without_wrapper
from finetune_cot.models.loading import quiet_transformers
from finetune_cot.models.naming import weight_name

_GROUP_NUMBERS = 1 << 25
"""Numbers of per-sample gradients of a parameter that are in memory at a time: 128 MB."""


class Features(Protocol):
    """What adds up the features of samples, such as a `gradients.projection.Projector`."""

    @property
    def width(self) -> int:
        """Numbers of a feature."""

    def add(
        self, out: Float[Tensor, "samples width"], name: str, grads: Float[Tensor, "samples params_of_name"]
    ) -> None:
        """Add what the gradients on one parameter contribute, in place."""


@dataclass(frozen=True)
class SampleGradients:
    """Features, losses and margins of the samples of a batch."""

    features: Float[Tensor, "samples width"]
    """Projected gradients of the margin or the loss, float32."""
    losses: Float[Tensor, " samples"]
    """Mean over the label tokens, in nats, float32."""
    margins: Float[Tensor, " samples"]
    """Mean over the label tokens of log p - log(1 - p), float32."""
    tokens: int
    """Tokens that the model processed, filling included, on both sides of an encoder-decoder."""


@dataclass
class _Pass:
    """One pass of a batch through the model."""

    features: Float[Tensor, "samples width"]
    watched: int = 0
    """Calls of trainable layers so far."""
    unfit: set[int] = field(default_factory=set)
    """Places of layers that were called with something else than one row per sample."""


class Recorder:
    """Takes per-sample gradients; made by `recording`, which also puts the model back afterwards.

    Args:
        model: A transformers model, with or without PEFT's adapters, in evaluation mode.
        projector: What projects and adds up gradients.
        autocast: Number format that a mixed precision computes in.

    Raises:
        ModelError: nothing of the model is trainable.
    """

    def __init__(self, model: Any, projector: Features, autocast: torch.dtype | None = None) -> None:
        self._model = model
        self._base = without_wrapper(model)
        self._projector = projector
        self._autocast = autocast
        self._layers = trainable_layers(model)
        self._parameters = {
            weight_name(name): value for name, value in model.named_parameters() if value.requires_grad
        }
        self._head: Any = self._base.get_output_embeddings()
        """None of a classifier, whose head is computed with the model."""
        blocks = [part for part in model.modules() if isinstance(part, nn.ModuleList)]
        self._in_blocks = {layer for block in blocks for layer in block.modules()}
        if not self._parameters:
            raise ModelError("has no trainable parameters", where="model", remedy="load or add an adapter")
        self._slow = {place for place, found in enumerate(self._layers) if found.rules is None}
        self._pass: _Pass | None = None
        self._closing = contextlib.ExitStack()
        self._prepare()

    @property
    def slow_layers(self) -> tuple[str, ...]:
        """Types of layers that have no rule, whose gradients are taken one sample at a time."""
        return tuple(sorted({self._layers[place].kind for place in self._slow}))

    def __call__(self, batch: Batch, quantity: Quantity) -> SampleGradients:
        """Gradients of the mean margin, or the mean loss, over the label tokens of each sample.

        Raises:
            DataError: a sample has no label token.
            ModelError: a margin or gradient is not a number, or no trainable layer took part.
        """
        rows = label_rows(batch, encoder_decoder=self._base.config.is_encoder_decoder)
        _check(rows.counts > 0, batch, DataError, "has no label token", "drop it, or allow longer samples")
        found, margins, losses = self._all_samples(batch, rows, quantity)
        if found.unfit:
            self._slow |= found.unfit
            found, margins, losses = self._all_samples(batch, rows, quantity)
        # Sums, not means, go through the backward pass: half precision would lose the small ones.
        features = found.features / rows.counts[:, None]
        means = rows.mean(margins)
        _check(means.isfinite(), batch, ModelError, "has a margin that is not a number", _PRECISION)
        for place in range(len(batch.input_ids) if self._slow else 0):
            self._one_sample(batch, place, quantity, features[place : place + 1], means[place])
        finite = features.isfinite().all(dim=1)
        _check(finite, batch, ModelError, "has a gradient that is not a number", _PRECISION)
        targets = batch.labels.numel() if self._base.config.is_encoder_decoder else 0
        return SampleGradients(features, rows.mean(losses), means, tokens=batch.input_ids.numel() + targets)

    def close(self) -> None:
        """Take the hooks away and make the parameters trainable again."""
        self._closing.close()

    def _prepare(self) -> None:
        training = self._model.training
        self._closing.callback(lambda: self._model.train(training))
        self._model.eval()
        # The head can be computed on its own if it is frozen and nothing comes after it.
        frozen = self._head is not None and not any(item.requires_grad for item in self._head.parameters())
        for parameter in self._parameters.values():
            self._closing.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        self._head_alone = frozen and self._head_is_last()
        for place, known in enumerate(self._layers):
            if known.rules is not None:
                self._closing.callback(known.layer.register_forward_hook(self._watch(place)).remove)

    @torch.no_grad()
    def _head_is_last(self) -> bool:
        """Whether logits are the head's output as it is, as they are not in Gemma 2 or Cohere."""
        token = torch.ones(1, 1, dtype=torch.long, device=self._head.weight.device)
        given: list[Tensor] = []

        def replace(head: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            # Whatever comes after the head shows on numbers of all sizes.
            values = torch.linspace(-50, 50, output.numel(), dtype=output.dtype, device=output.device)
            given.append(values.view_as(output))
            return given[-1]

        handle = self._head.register_forward_hook(replace)
        try:
            logits = self._forward(Batch(token, token, token, ("",), (0,), 1))
        finally:
            handle.remove()
        return len(given) == 1 and torch.equal(given[0].float(), logits.float())

    def _watch(self, place: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
        def keep(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            now = self._pass
            if now is None or place in self._slow:
                return None
            # Beside the blocks, a classifier's layers see one row a sample; within, such a row is a token.
            axes = 3 if self._head is not None or layer in self._in_blocks else 2
            if not args or output.dim() < axes or len(args[0]) != len(now.features):
                now.unfit.add(place)
                return None
            now.watched += 1
            inputs = [args[0].detach()]
            if not output.requires_grad:
                output = _begin(output, torch.zeros((), requires_grad=True))
            # Popped, so that an input is freed as soon as the backward pass has been here.
            hooked: Any = output
            hooked.register_hook(lambda e: self._add(now.features, self._layers[place], inputs.pop(), e))
            return output

        return keep

    def _add(self, features: Tensor, known: TrainableLayer, x: Tensor, e: Tensor) -> None:
        e = _by_token(e.float())
        if x.is_floating_point():
            x = _by_token(x.float())
        one_by_one = {name for place in self._slow for name in self._layers[place].names.values()}
        for own_name, name in known.names.items():
            if name in one_by_one:
                continue
            rule = (known.rules or {})[own_name]
            group = max(1, _GROUP_NUMBERS // self._parameters[name].numel())
            for start in range(0, len(x), group):
                part = slice(start, start + group)
                self._projector.add(features[part], name, rule(known.layer, x[part], e[part]).flatten(1))

    def _all_samples(self, batch: Batch, rows: LabelRows, quantity: Quantity) -> tuple[_Pass, Tensor, Tensor]:
        """One forward and one backward pass; features of sums over the label tokens.

        Returns:
            The pass, and margins and losses by token.
        """
        device = batch.input_ids.device
        now = self._pass = _Pass(torch.zeros(len(batch.input_ids), self._projector.width, device=device))
        try:
            start = self._head_by_itself if self._head_alone else self._head_within
            output, gradient, margins, losses = start(batch, rows, quantity)
            if output.requires_grad:
                torch.autograd.backward(output, gradient)
        finally:
            self._pass = None
        if not now.watched and not now.unfit and len(self._slow) < len(self._layers):
            raise ModelError(
                "none of the trainable layers took part in the forward pass",
                remedy="unmerge and enable the adapter",
            )
        return now, margins, losses

    def _head_by_itself(
        self, batch: Batch, rows: LabelRows, quantity: Quantity
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hidden states, the gradient on them, margins and losses; the model's own head sees no row."""
        kept: list[Tensor] = []

        def take(head: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            kept.append(args[0])
            return (args[0][:, :0],)

        with torch.enable_grad(), recomputed_activations():
            self._forward(batch, take)
        hidden = kept.pop()
        labelled = hidden.detach()[rows.sample, rows.position]
        found = head_gradients(self._head, labelled, rows.target, quantity, self._autocast)
        gradient = torch.zeros_like(hidden)
        gradient[rows.sample, rows.position] = found.gradient
        return hidden, gradient, found.margins, losses_of(found.margins)

    def _head_within(
        self, batch: Batch, rows: LabelRows, quantity: Quantity
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits at label positions, the gradient on them, margins and losses."""
        positions, real = padded_positions(rows)
        samples = torch.arange(len(positions), device=positions.device)[:, None]
        with torch.enable_grad(), recomputed_activations():
            logits = self._forward(batch, lambda head, args: (args[0][samples, positions],))
        found = row_gradients(logits.detach()[real].float(), rows.target, quantity, batch.choices)
        gradient = torch.zeros_like(logits)
        gradient[real] = found.gradient.to(gradient.dtype)
        return logits, gradient, found.margins, found.losses

    def _forward(self, batch: Batch, before_head: Callable[..., Any] | None = None) -> Tensor:
        """The model's logits; of a classifier with an axis for the one label of each sample."""
        inputs = batch.inputs
        if not batch.attention_mask[:, 0].all() and _takes(self._base, "position_ids"):
            inputs["position_ids"] = (batch.attention_mask.cumsum(dim=1) - 1).clamp(min=0)
        computing = torch.autocast(
            batch.input_ids.device.type, self._autocast, enabled=self._autocast is not None
        )
        if batch.choices:
            with computing:
                return class_logits(self._model, inputs, batch.choices.allowed)[:, None]
        if self._base.config.is_encoder_decoder:
            shift = self._base.prepare_decoder_input_ids_from_labels
            inputs["decoder_input_ids"] = shift(labels=batch.labels)
        handle = self._head.register_forward_pre_hook(before_head) if before_head else None
        try:
            with computing:
                logits: Tensor = self._model(**inputs, use_cache=False).logits
        finally:
            if handle:
                handle.remove()
        return logits

    def _one_sample(
        self, batch: Batch, place: int, quantity: Quantity, features: Tensor, margin: Tensor
    ) -> None:
        """Add the gradients on the parameters of layers without rules, by autograd on one sample alone."""
        one = batch.only(place)
        rows = label_rows(one, encoder_decoder=self._base.config.is_encoder_decoder)
        names = sorted({name for slow in self._slow for name in self._layers[slow].names.values()})
        parameters = [self._parameters[name].requires_grad_() for name in names]
        try:
            logits, gradient, margins, _ = self._head_within(one, rows, quantity)
            grads = torch.autograd.grad(logits, parameters, gradient, allow_unused=True)
        finally:
            for parameter in parameters:
                parameter.requires_grad_(False)
        tolerance = 1e-2 if logits.dtype == torch.float32 and self._autocast is None else 0.2
        if not torch.allclose(margins.mean(), margin, rtol=tolerance, atol=tolerance):
            raise ModelError(
                f"sample {batch.sample_indices[place]} has margin {margins.mean():.4g} alone, "
                f"but {margin:.4g} among others",
                where=", ".join(self.slow_layers),
                remedy="such layers mix the samples of a batch: freeze them",
            )
        for name, grad in zip(names, grads, strict=True):
            if grad is not None:
                self._projector.add(features, name, grad.float().reshape(1, -1) / len(rows.target))


@contextlib.contextmanager
def recording(model: Any, projector: Features, *, autocast: torch.dtype | None = None) -> Iterator[Recorder]:
    """Record per-sample gradients of a model's trainable parameters, batch after batch.

    Within, the model is in evaluation mode and its parameters require no gradient; both are put back.

    Args:
        model: A transformers model, with or without PEFT's adapters.
        projector: What projects and adds up gradients.
        autocast: Number format that a mixed precision computes in (`models.loading.autocast_dtype`).

    Raises:
        ModelError: nothing of the model is trainable, or it has no head.
    """
    with quiet_transformers():
        recorder = Recorder(model, projector, autocast)
        try:
            yield recorder
        finally:
            recorder.close()


def per_sample_gradients(
    model: Any, batch: Batch, projector: Features, quantity: Quantity
) -> SampleGradients:
    """Gradients of one batch; use `recording` for more than one."""
    with recording(model, projector) as record:
        return record(batch, quantity)


class _Source(torch.autograd.Function):
    """A layer's output as the place where the backward pass ends: nothing below it is trainable."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, anchor: Tensor) -> Tensor:
        # A copy, because the model may go on to change it in place.
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None]:
        return None, None


_begin: Any = _Source.apply
_PRECISION = "try --precision 32-true, and look at the sample"


def _check(fine: Tensor, batch: Batch, kind: type[DataError | ModelError], what: str, remedy: str) -> None:
    if not fine.all():
        place = int((~fine).nonzero()[0, 0])
        raise kind(f"sample {batch.sample_indices[place]} {what}", where=batch.tasks[place], remedy=remedy)


def _by_token(values: Tensor) -> Tensor:
    """Rows with an axis of tokens between samples and features; a row a sample is one token."""
    return values[:, None] if values.dim() == 2 else values.flatten(1, -2)


def _takes(model: Any, argument: str) -> bool:
    return argument in inspect.signature(model.forward).parameters
