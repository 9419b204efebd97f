"""Options of every command that works on gradients which `grads` took."""

from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.grads import DEFAULT_DIM
from finetune_cot.config.options import command_config, option

ESTIMATOR_NAMES = (
    *("gradex", "subset-cosine", "task-cosine", "cosine", "inner-product", "trak", "seed", "norm"),
    *("membership", "subset-size"),
)


@command_config
class GradientOptions:
    """Which gradients, and how losses are estimated from them."""

    project_dim: int = option(
        DEFAULT_DIM,
        "Of the gradients that `grads` took.",
        aliases=("--project-dimension",),
        check=not_negative,
    )
    compute_pretrained_outputs: bool = option(False, "Use the gradients at the pretrained model.")
    points: tuple[str, ...] = option((), "Only these of the points that the gradients were taken at.")
    ridge: float = option(10.0, "Lambda of the logistic regression.", check=positive)
    keep_margins: bool = option(False, "Begin the regression at the samples' margins.")
    scale: float | None = option(
        None,
        "Norm of the step beside that of the weights; by default the step that the regression finds.",
        check=positive,
    )
