"""What an estimator gives, and what it can be told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

from finetune_cot.estimation.features import Features, Subset


@dataclass(frozen=True)
class Estimates:
    """Estimated dev losses of a model fine-tuned on each subset."""

    losses: Float[ndarray, "subsets tasks"]
    """Nats a token; of a method that only orders subsets, minus its score, so that lower is better."""
    method: str
    is_loss: bool
    std: Float[ndarray, "subsets tasks"] | None = None
    """How far the truth lies from an estimate, as a standard deviation; None where nothing tells it."""
    steps: Float[ndarray, "subsets proj"] | None = None
    """Projected step theta of each subset at the last point; None for a method that takes none."""


@dataclass(frozen=True)
class EstimatorSettings:
    """Choices that estimators leave open."""

    ridge: float = 10.0
    """Lambda of the logistic regression."""
    keep_margins: bool = False
    """Whether the regression begins at the samples' margins, rather than at zero."""
    scale: float | None = None
    """Norm of the step beside that of the weights; None for the step that the regression finds."""
    seed: int = 0


Estimator = Callable[[Features, Sequence[Subset], EstimatorSettings], Estimates]
