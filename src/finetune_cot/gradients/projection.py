"""Johnson-Lindenstrauss projection of per-sample gradients, parameter by parameter, without a stored matrix.

The feature of a sample is P^T g (method.md, section 2), with E[P P^T] = I: inner products of features are
unbiased estimates of those of gradients, and ``P theta`` leads from a solution back to weights. P is a
function of seed, parameter name and place within the parameter alone. Hence features do not depend on the
batch size, the order of samples or parameters, the rank or the device, but for the rounding of float32 sums.
(On a GPU that rounding changes from run to run, unless ``torch.use_deterministic_algorithms`` is on.)
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from finetune_cot.errors import UsageError
from finetune_cot.gradients.counter_bits import stream_key
from finetune_cot.gradients.sketching import SparseRows, rademacher_rows, sparse_rows

Kind = Literal["count-sketch", "sjlt", "rademacher", "none"]
_SJLT_ENTRIES = 8
_BLOCK_ENTRIES = 1 << 20
"""Entries of P made at a time: 12 MB for sparse kinds, 4 MB (and as much again in bits) for the dense one."""
_CACHED_ENTRIES = 1 << 23
"""Entries of P that a projector keeps between batches, 12 bytes each; adapters fit, whole models do not."""


@dataclass(frozen=True)
class Projection:
    """Which random matrix P maps gradients to features.

    Raises:
        UsageError: the kind is unknown, or the dimension is not positive.
    """

    kind: Kind
    dim: int
    """Numbers per feature; of no effect for ``none``, which keeps the gradient itself."""
    seed: int

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(
                f"{self.kind!r} is no projection",
                where="--projection",
                remedy=f"use one of {', '.join(get_args(Kind))}",
            )
        if self.kind != "none" and self.dim < 1:
            raise UsageError(
                f"{self.dim} is no dimension for {self.kind}",
                where="--project-dim",
                remedy="use a positive number, or 0 to store exact gradients",
            )

    @property
    def entries(self) -> int:
        """Non-zero entries in a row of P."""
        if self.kind == "rademacher":
            return self.dim
        return min(_SJLT_ENTRIES, self.dim) if self.kind == "sjlt" else 1


def project(
    projection: Projection, name: str, grads: Float[Tensor, "samples params_of_name"]
) -> Float[Tensor, "samples proj"]:
    """What one parameter adds to the features of samples, in float32.

    Args:
        projection: The matrix P; ``none`` gives the gradients back.
        name: Name of the parameter.
        grads: Gradients by sample, flattened as the parameter is.
    """
    if projection.kind == "none":
        return grads.float()
    out = torch.zeros(grads.shape[0], projection.dim, device=grads.device)
    _add(projection, out, name, grads, cached=None)
    return out


@dataclass
class Projector:
    """Adds up features over the parameters of one model.

    Nothing is buffered: after the last `add` the features are complete. For small models (2^23 entries of P,
    such as LoRA adapters up to 8 million weights with count-sketch) the sparse rows are kept between batches;
    otherwise they are made anew in blocks, so that memory does not grow with the model.
    """

    projection: Projection
    shapes: Mapping[str, torch.Size]
    """Trainable parameters of the model by name."""
    device: torch.device | str
    """Where gradients and features are."""
    _offsets: dict[str, int] = field(init=False, repr=False)
    _parameters: int = field(init=False, repr=False)
    _cache: dict[str, SparseRows] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.device = torch.device(self.device)
        self._offsets = {}
        self._parameters = 0
        for name in sorted(self.shapes):
            self._offsets[name] = self._parameters
            self._parameters += math.prod(self.shapes[name])

    @property
    def parameters(self) -> int:
        """Numbers in all parameters together, D."""
        return self._parameters

    @property
    def width(self) -> int:
        """Numbers per feature: d, or D for exact gradients."""
        return self._parameters if self.projection.kind == "none" else self.projection.dim

    def zeros(self, samples: int) -> Float[Tensor, "samples width"]:
        """Features to add to."""
        return torch.zeros(samples, self.width, dtype=torch.float32, device=self.device)

    def add(
        self, out: Float[Tensor, "samples width"], name: str, grads: Float[Tensor, "samples params_of_name"]
    ) -> None:
        """Add the share of one parameter to the features, in place; it may come in several calls.

        Args:
            out: Features so far, float32.
            name: Name of the parameter.
            grads: Gradients by sample, flattened as the parameter is; of any float type.

        Raises:
            KeyError: no parameter has this name.
            ValueError: the gradients are of another size than the parameter.
        """
        size = math.prod(self.shapes[name])
        if grads.shape[1] != size:
            raise ValueError(f"{name} has {size} numbers, its gradients {grads.shape[1]}")
        if self.projection.kind == "none":
            start = self._offsets[name]
            out[:, start : start + size] += grads
        else:
            _add(self.projection, out, name, grads, self._cached(name))

    def lift(self, theta: Float[Tensor, " width"]) -> dict[str, Tensor]:
        """``P theta`` in the shapes of the parameters, in float32; the adjoint of projecting."""
        theta = theta.to(self.device, torch.float32)
        lifted = {}
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            if self.projection.kind == "none":
                flat = theta[self._offsets[name] :][:size].clone()
            else:
                flat = _lift(self.projection, theta, name, size, self._cached(name))
            lifted[name] = flat.view(shape)
        return lifted

    def project_weights(self, weights: Mapping[str, Tensor]) -> Float[Tensor, " width"]:
        """``P^T w`` of weights, or of a difference of weights, by parameter name.

        Raises:
            KeyError: a parameter of the model is missing.
        """
        out = self.zeros(1)
        for name in self.shapes:
            self.add(out, name, weights[name].detach().to(self.device).reshape(1, -1))
        return out[0]

    def _cached(self, name: str) -> SparseRows | None:
        kept = self.projection.kind != "rademacher"
        if not kept or self._parameters * self.projection.entries > _CACHED_ENTRIES:
            return None
        if name not in self._cache:
            size = math.prod(self.shapes[name])
            self._cache[name] = _sparse(self.projection, name, 0, size, torch.device(self.device))
        return self._cache[name]


def _add(projection: Projection, out: Tensor, name: str, grads: Tensor, cached: SparseRows | None) -> None:
    if cached is not None:
        cached.add_projected(out, grads.float())
        return
    for start, count in _blocks(projection, grads.shape[1]):
        block = grads[:, start : start + count].float()
        if projection.kind == "rademacher":
            out.addmm_(block, _dense(projection, name, start, count, grads.device))
        else:
            _sparse(projection, name, start, count, grads.device).add_projected(out, block)


def _lift(
    projection: Projection, theta: Tensor, name: str, size: int, cached: SparseRows | None
) -> Float[Tensor, " params_of_name"]:
    if cached is not None:
        return cached.lifted(theta)
    flat = torch.empty(size, device=theta.device)
    for start, count in _blocks(projection, size):
        if projection.kind == "rademacher":
            flat[start : start + count] = _dense(projection, name, start, count, theta.device) @ theta
        else:
            flat[start : start + count] = _sparse(projection, name, start, count, theta.device).lifted(theta)
    return flat


def _blocks(projection: Projection, size: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each block of P that is made at a time."""
    rows = max(1, _BLOCK_ENTRIES // projection.entries)
    for start in range(0, size, rows):
        yield start, min(rows, size - start)


def _sparse(projection: Projection, name: str, start: int, count: int, device: torch.device) -> SparseRows:
    key = stream_key(projection.seed, name)
    return sparse_rows(key, start, count, projection.dim, projection.entries, device)


def _dense(projection: Projection, name: str, start: int, count: int, device: torch.device) -> Tensor:
    return rademacher_rows(stream_key(projection.seed, name), start, count, projection.dim, device)
