"""Exact inner products of per-sample gradients with some directions, where no projection is wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Directions:
    """Adds up inner products in place of a `gradients.projection.Projector`; a feature is one number each."""

    weights: Sequence[Mapping[str, Tensor]]
    """Directions as weights by parameter name, float32."""

    @property
    def width(self) -> int:
        """Number of directions."""
        return len(self.weights)

    def add(
        self, out: Float[Tensor, "samples width"], name: str, grads: Float[Tensor, "samples params_of_name"]
    ) -> None:
        """Add what the gradients on one parameter contribute, in place."""
        for place, direction in enumerate(self.weights):
            out[:, place] += grads.float() @ direction[name].flatten()
