"""Options about tasks and their subsets, which several commands have in common."""

from pathlib import Path

from finetune_cot.config.checks import positive
from finetune_cot.config.options import command_config, option


@command_config
class TaskOptions:
    """What the tasks are, and where their subsets are listed."""

    task_groups: Path | None = option(
        None, "Groups of samples that stand as tasks, as `select --group-by cluster` writes them."
    )
    load_sample_task_dir: str | None = option(
        None,
        "List of subsets to take: a file, a folder that holds one, or a name.",
        values="saved_names",
    )


@command_config
class TargetOptions:
    """What subsets are compared by."""

    target_task: str = option(
        "mean", "Task whose loss is to fall, by name or number; mean for the mean over all tasks."
    )


@command_config
class SubsetOptions(TaskOptions):
    """Which subsets of the tasks."""

    number_of_subsets: int = option(100, "Subsets that are drawn at random.", check=positive)
    subset_size: str = option("0.5", "Tasks of a subset: a count such as 3, or a share such as 0.5.")
    leave_one_out: bool = option(False, "All tasks but one, for each task, instead of random subsets.")
