"""Several runs of a training: one after another, or by the workers of a Ray cluster."""

from collections.abc import Sequence

from finetune_cot.pipeline.ranks import Ranks
from finetune_cot.pipeline.ray_train import train_on_ray
from finetune_cot.pipeline.train_plan import RunPlan
from finetune_cot.pipeline.train_run import RunResult, perform


def train_runs(plans: Sequence[RunPlan], ranks: Ranks, *, show_example: bool = True) -> list[RunResult]:
    """Train the students, or take what is there of them; their results, in the order of the plans.

    Args:
        plans: What the runs are.
        ranks: The processes that train each of them together.
        show_example: Whether a training sample of the first is shown.

    Raises:
        FtcotError: as `perform` and `train_on_ray`.
    """
    if plans[0].config.engine == "ray":
        return train_on_ray(plans)
    return [perform(plan, show_example and plan is plans[0], ranks) for plan in plans]
