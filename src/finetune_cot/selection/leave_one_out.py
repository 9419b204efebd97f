"""Leave-one-out: how much the target's loss changes when a task is taken out of the whole."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.selection.ensemble import below_threshold
from finetune_cot.selection.subsets import Estimate, Subset, target_losses


@dataclass(frozen=True)
class LeaveOneOut:
    """The effect of each task on the target."""

    scores: Float[ndarray, " tasks"]
    """Loss with the task minus loss without it, nats a token: below 0 it helps; NaN for tasks outside."""
    whole_loss: float
    """Loss of the target when trained on the whole, nats a token."""

    @property
    def helpful(self) -> Subset:
        """The tasks without which the loss is higher, or the same."""
        return below_threshold(self.scores, 0.0)


def leave_one_out_subsets(whole: Subset) -> list[Subset]:
    """The whole, then the whole without each of its tasks.

    Raises:
        UsageError: nothing would be left of it.
    """
    if len(whole) < 2:
        raise UsageError("taking out one task must leave another", where=f"tasks {whole}")
    return [whole, *(tuple(task for task in whole if task != left_out) for left_out in whole)]


def leave_one_out(estimate: Estimate, whole: Subset, target: int | None = None) -> LeaveOneOut:
    """Estimate the whole and each of its leave-one-out subsets in one call.

    Args:
        estimate: Gives the losses of subsets.
        whole: The tasks of which one at a time is taken out.
        target: The task whose loss counts; None for the mean over all.

    Raises:
        UsageError: the whole is a single task, or an estimate is not a number.
    """
    losses = estimate(leave_one_out_subsets(whole))
    chosen = target_losses(losses, target)
    scores = np.full(losses.shape[1], np.nan)
    scores[list(whole)] = chosen[0] - chosen[1:]
    return LeaveOneOut(scores, float(chosen[0]))
