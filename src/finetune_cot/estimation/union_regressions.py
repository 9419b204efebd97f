"""Logistic regressions on unions of tasks: gradients and curvatures, as sums over the tasks they hold."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.special import expit


@dataclass(frozen=True)
class UnionRegressions:
    """The regressions on all unions of some tasks."""

    features: tuple[ndarray, ...]
    """``[samples of the task, width]`` of each task."""
    margins: tuple[ndarray, ...]
    """``[samples of the task]`` of each task."""
    ridge: float

    @property
    def counts(self) -> Float[ndarray, " tasks"]:
        """Samples of each task."""
        return np.array([float(len(margins)) for margins in self.margins])

    @property
    def width(self) -> int:
        """Numbers of a feature."""
        width: int = self.features[0].shape[1]
        return width

    def of_tasks(self, held: Bool[ndarray, " tasks"]) -> "UnionRegressions":
        """The same of some of the tasks, in float64."""
        tasks = np.flatnonzero(held)
        features = tuple(self.features[task].astype(np.float64) for task in tasks)
        return UnionRegressions(features, tuple(self.margins[task] for task in tasks), self.ridge)

    def loss(self, theta: Float[ndarray, " width"]) -> float:
        """What the regression on all tasks minimizes."""
        sums = [
            np.logaddexp(0, -(margins + features @ theta)).sum()
            for features, margins in zip(self.features, self.margins, strict=True)
        ]
        return float(sum(sums) / self.counts.sum() + self.ridge / 2 * theta @ theta)

    def gradient(self, theta: Float[ndarray, " width"]) -> Float[ndarray, " width"]:
        """The gradient of `loss`."""
        every = np.ones((1, len(self.features)), dtype=bool)
        found: Float[ndarray, " width"] = self.gradients(theta[None], every)[0]
        return found

    def hessian(self, theta: Float[ndarray, " width"]) -> Float[ndarray, "width width"]:
        """The second derivatives of `loss`."""
        return self.curvature(theta, 0.0) + self.ridge * np.eye(self.width)

    def gradients(
        self, theta: Float[ndarray, "rows width"], holds: Bool[ndarray, "rows tasks"]
    ) -> Float[ndarray, "rows width"]:
        """The gradient at one theta a row, of the regression on the tasks that the row holds.

        It is computed in the type of theta.
        """
        sums = np.zeros_like(theta)
        for task in np.flatnonzero(self.counts):
            holding = np.flatnonzero(holds[:, task])
            if len(holding):
                sums[holding] += self._sums(theta[holding], int(task))
        return self._means(sums, holds) + self.ridge * theta

    def gradients_at_one(
        self, theta: Float[ndarray, " width"], holds: Bool[ndarray, "rows tasks"]
    ) -> Float[ndarray, "rows width"]:
        """The same where all rows are at one theta: the samples are looked at once, not once a row."""
        of_task = np.concatenate([self._sums(theta[None], task) for task in range(len(self.features))])
        return self._means(holds @ of_task, holds) + self.ridge * theta

    def curvature(self, theta: Float[ndarray, " width"], least: float) -> Float[ndarray, "width width"]:
        """About the second derivatives of the mean loss on all samples, without the ridge.

        Args:
            theta: Where.
            least: Least curvature of a sample's loss that is reckoned with: samples that are far on the right
                side now may turn back.
        """
        found, total = np.zeros((len(theta), len(theta))), self.counts.sum()
        for features, margins in zip(self.features, self.margins, strict=True):
            chance = expit(margins + features @ theta.astype(features.dtype))
            weights = np.maximum(chance * (1 - chance), least) / total
            weighted = np.sqrt(weights)[:, None].astype(features.dtype) * features
            found += weighted.T @ weighted
        return found

    def _sums(self, theta: Float[ndarray, "rows width"], task: int) -> Float[ndarray, "rows width"]:
        """The gradients of log(1 + exp(-s)) at each theta, summed over a task's samples."""
        features = self.features[task].astype(theta.dtype, copy=False)
        # The slope of log(1 + exp(-s)) is (tanh(s / 2) - 1) / 2, which never overflows.
        scores = (0.5 * theta) @ features.T
        scores += 0.5 * self.margins[task].astype(theta.dtype)
        np.tanh(scores, out=scores)
        scores -= 1
        scores *= 0.5
        sums: Float[ndarray, "rows width"] = scores @ features
        return sums

    def _means(self, sums: ndarray, holds: Bool[ndarray, "rows tasks"]) -> ndarray:
        means: ndarray = sums / (holds @ self.counts)[:, None].astype(sums.dtype)
        return means
