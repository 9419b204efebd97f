"""Forward stepwise selection: add the task that lowers the target's loss most, until none does."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.errors import UsageError
from finetune_cot.selection.subsets import Estimate, Subset, target_losses


@dataclass(frozen=True)
class Stepwise:
    """The tasks that were chosen, and what each step gained."""

    selected: Subset
    order: tuple[int, ...]
    """The tasks that were added, first to last."""
    losses: tuple[float, ...]
    """Estimated loss of the target after each of these steps, in nats a token."""
    scores: Float[ndarray, " tasks"]
    """Loss of the target with a task minus that without it, beside all others that are selected, in nats a
    token: below 0 it helps; NaN where it is the only one."""


def forward_stepwise(
    estimate: Estimate,
    tasks: int,
    target: int | None = None,
    *,
    max_tasks: int | None = None,
    given: Subset = (),
    min_gain: float = 0.0,
) -> Stepwise:
    """Add one task at a time; all candidates of a step are estimated in one call.

    The first task is always taken where none is given, since no loss stands against it.

    Args:
        estimate: Gives the losses of subsets.
        tasks: How many tasks there are.
        target: The task whose loss is to fall; None for the mean over all.
        max_tasks: Tasks of the selection at most, the given ones among them; all by default.
        given: Tasks that are in it from the start.
        min_gain: Nats a token by which a task must lower the loss to be added; any gain by default. With
            minus infinity the best task is added also where the loss rises, until there are ``max_tasks``.

    Raises:
        UsageError: there is no task, or room for none; or an estimate is not a number.
    """
    most = tasks if max_tasks is None else max_tasks
    if most < 1 or tasks < 1:
        raise UsageError("there must be a task, and room for one", where=f"{tasks} tasks, at most {most}")
    chosen, best = list(given), np.inf
    if given:
        best = float(target_losses(estimate([tuple(sorted(given))]), target)[0])
    order: list[int] = []
    losses: list[float] = []
    while len(chosen) < min(most, tasks):
        candidates = [task for task in range(tasks) if task not in chosen]
        tried = target_losses(estimate([tuple(sorted([*chosen, task])) for task in candidates]), target)
        place = int(np.argmin(tried))
        if not best - tried[place] > min_gain:
            break
        best = float(tried[place])
        chosen.append(candidates[place])
        order.append(candidates[place])
        losses.append(best)
    selected = tuple(sorted(chosen))
    return Stepwise(selected, tuple(order), tuple(losses), _effects(estimate, selected, best, tasks, target))


def _effects(
    estimate: Estimate, selected: Subset, loss: float, tasks: int, target: int | None
) -> Float[ndarray, " tasks"]:
    """What each task adds to the loss of the selection; one call for all of them."""
    others = [tuple(sorted({*selected} ^ {task})) for task in range(tasks)]
    known = [task for task, subset in enumerate(others) if subset]
    effects = np.full(tasks, np.nan)
    if known:
        found = target_losses(estimate([others[task] for task in known]), target)
        effects[known] = np.where(np.isin(known, selected), loss - found, found - loss)
    return effects
