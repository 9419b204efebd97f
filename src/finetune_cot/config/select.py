"""Options of ``ftcot select``."""

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.gradients import ESTIMATOR_NAMES, GradientOptions
from finetune_cot.config.options import command_config, option
from finetune_cot.config.subsets import SubsetOptions, TargetOptions
from finetune_cot.config.training import ModelOptions

METHODS = ("stepwise", "ensemble", "top-k", "threshold", "leave-one-out", "affinity", "surrogate")


@command_config
class SelectConfig(TargetOptions, GradientOptions, SubsetOptions, ModelOptions):
    """The tasks worth fine-tuning on are chosen by estimated, or measured, losses of subsets."""

    select_by: str = option("stepwise", "How tasks are chosen.", choices=METHODS)
    group: bool = option(False, "Same as --select-by affinity.", hidden=True)
    group_by: str = option(
        "task",
        "What is chosen from: the data's tasks, or clusters of samples whose gradients are alike.",
        choices=("task", "cluster"),
    )
    num_clusters: int = option(10, "Clusters, with --group-by cluster.", check=positive)
    num_tasks: int | None = option(
        None, "Tasks to choose; by default as many as the scores show.", check=positive
    )
    min_gain: float | None = option(
        None,
        "With stepwise, nats a token by which a task must lower the loss to be added; by default any; none"
        " is needed with --num-tasks.",
        check=not_negative,
    )
    threshold: float | None = option(None, "With --select-by threshold, the highest score that is chosen.")
    num_groups: int | None = option(
        None,
        "With --select-by affinity, groups of tasks; by default as many as the affinities show.",
        check=positive,
    )
    losses: str = option(
        "estimated",
        "Losses of subsets to choose by: estimated from gradients, or measured by `sample-truth`.",
        choices=("estimated", "measured"),
    )
    estimator: str = option("gradex", "How losses are estimated.", choices=ESTIMATOR_NAMES)
    overwrite: bool = shared.overwrite("a list of subsets, or clusters,")
