"""Options of ``ftcot select``."""

from finetune_cot.config import shared
from finetune_cot.config.checks import positive
from finetune_cot.config.gradients import ESTIMATOR_NAMES, GradientOptions
from finetune_cot.config.options import command_config, option
from finetune_cot.config.subsets import SubsetOptions
from finetune_cot.config.training import ModelOptions

METHODS = ("stepwise", "ensemble", "top-k", "threshold", "leave-one-out", "affinity", "surrogate")


@command_config
class SelectConfig(GradientOptions, SubsetOptions, ModelOptions):
    """The tasks worth fine-tuning on are chosen by estimated, or measured, losses of subsets."""

    select_by: str = option("stepwise", "How tasks are chosen.", choices=METHODS)
    target_task: str = option(
        "mean", "Task whose loss is to fall, by name or number; mean for the mean over all tasks."
    )
    num_tasks: int | None = option(None, "Tasks to choose; with stepwise at most.", check=positive)
    threshold: float | None = option(None, "With --select-by threshold, the highest score that is chosen.")
    num_groups: int | None = option(
        None,
        "With --method affinity, groups of tasks; by default as many as the affinities show.",
        check=positive,
    )
    losses: str = option(
        "estimated",
        "Losses of subsets to choose by: estimated from gradients, or measured by `sample-truth`.",
        choices=("estimated", "measured"),
    )
    estimator: str = option("gradex", "How losses are estimated.", choices=ESTIMATOR_NAMES)
    overwrite: bool = shared.overwrite("a list of subsets")
