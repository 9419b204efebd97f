"""Options of ``ftcot estimate``."""

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.grads import DEFAULT_DIM
from finetune_cot.config.options import command_config, option
from finetune_cot.config.subsets import SubsetOptions
from finetune_cot.config.training import ModelOptions

ESTIMATOR_NAMES = (
    *("gradex", "subset-cosine", "task-cosine", "cosine", "inner-product", "trak", "seed", "norm"),
    *("membership", "subset-size"),
)


@command_config
class EstimateConfig(SubsetOptions, ModelOptions):
    """Dev losses of a model fine-tuned on each subset of the tasks are estimated from gradients."""

    project_dim: int = option(
        DEFAULT_DIM,
        "Of the gradients that `grads` took.",
        aliases=("--project-dimension",),
        check=not_negative,
    )
    compute_pretrained_outputs: bool = option(False, "Use the gradients at the pretrained model.")
    estimator: tuple[str, ...] = option(
        ("gradex",),
        "How losses are estimated; the first is the main one, and all means every one.",
        choices=(*ESTIMATOR_NAMES, "all"),
    )
    points: tuple[str, ...] = option((), "Only these of the points that the gradients were taken at.")
    ridge: float = option(0.03, "Lambda of the logistic regression.", check=positive)
    keep_margins: bool = option(False, "Begin the regression at the samples' margins.")
    scale: float | None = option(
        None,
        "Norm of the step beside that of the weights; by default the step that the regression finds.",
        check=positive,
    )
    calibrate: int = option(
        0,
        "Combine signals by so many true runs of `sample-truth`: the first of the list.",
        check=not_negative,
    )
    overwrite: bool = shared.overwrite("a list of subsets")
