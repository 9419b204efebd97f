"""Options of ``ftcot sample-truth``."""

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.engine import EngineOptions
from finetune_cot.config.options import command_config, option
from finetune_cot.config.subsets import SubsetOptions
from finetune_cot.config.training import TrainingOptions


@command_config
class SampleTruthConfig(EngineOptions, SubsetOptions, TrainingOptions):
    """A model is really fine-tuned on subsets of the tasks, and every task's dev loss measured."""

    start: int = option(0, "First subset, by its number in the list, from 0.", check=not_negative)
    stop: int | None = option(None, "Subset before which to stop.", check=positive)
    subset_num: int | None = option(None, "Only the subset of this number.", check=not_negative)
    shard: str | None = option(None, "Only each N-th subset, from the i-th: i/N, with i from 0.")
    missing_only: bool = option(
        False, "Same as without it: subsets that are done are never done again.", hidden=True
    )
    overwrite: bool = shared.overwrite("results")
    dry_run: bool = shared.dry_run()
