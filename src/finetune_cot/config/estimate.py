"""Options of ``ftcot estimate``."""

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative
from finetune_cot.config.gradients import ESTIMATOR_NAMES, GradientOptions
from finetune_cot.config.options import command_config, option
from finetune_cot.config.subsets import SubsetOptions, TargetOptions
from finetune_cot.config.training import ModelOptions


@command_config
class EstimateConfig(TargetOptions, GradientOptions, SubsetOptions, ModelOptions):
    """Dev losses of a model fine-tuned on each subset of the tasks are estimated from gradients."""

    estimator: tuple[str, ...] = option(
        ("gradex",),
        "How losses are estimated; the first is the main one, and all means every one.",
        choices=(*ESTIMATOR_NAMES, "all"),
    )
    evaluate: str = option(
        "linear",
        "How a step's losses are found: to first order from the gradients, or by forward passes of the model,"
        " at the last of the points.",
        choices=("linear", "forward"),
    )
    calibrate: int = option(
        0,
        "Combine signals by so many true runs of `sample-truth`: the first of the list.",
        check=not_negative,
    )
    overwrite: bool = shared.overwrite("a list of subsets")
