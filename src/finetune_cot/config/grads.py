"""Options of ``ftcot grads``."""

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.options import command_config, option
from finetune_cot.config.training import ModelOptions

DEFAULT_DIM = 4096
PROJECTIONS = ("count-sketch", "sjlt", "rademacher", "none")


@command_config
class GradsConfig(ModelOptions):
    """One projected gradient is taken of every sample, at one or several points of the meta-training."""

    project_dim: int = option(
        DEFAULT_DIM,
        "Numbers that each gradient is projected to; 0 keeps the gradient itself.",
        aliases=("--project-dimension",),
        check=not_negative,
    )
    projection: str = option(
        "count-sketch", "Random matrix of the projection; none is --project-dim 0.", choices=PROJECTIONS
    )
    points: tuple[str, ...] = option(
        (),
        "Where gradients are taken: pretrained, meta, a share of the way between such as 0.5, or epoch_2;"
        " by default 0.5 where there is a meta-training.",
    )
    compute_pretrained_outputs: bool = option(
        False, "At the pretrained model only, although there is a meta-training."
    )
    train_gradient: str = option(
        "margin",
        "What is differentiated of training samples; of dev samples it is the loss.",
        choices=("margin", "loss"),
    )
    store_dtype: str = option("float16", "Number format of the store.", choices=("float16", "float32"))
    batch_tokens: int = option(2048, "Tokens of a batch, filling included, at most.", check=positive)
    batch_size: int = option(8, "Samples that --num-batches-gradients counts as a batch.", check=positive)
    num_batches_gradients: int | None = option(
        None, "Only the first so many batches of training samples.", check=positive
    )
    shard_samples: int = option(
        256, "Samples of a shard of the store, which a resumed run keeps.", check=positive
    )
    check_approximation: bool = option(
        False,
        "Then measure how far margins to first order are from those of forward passes, at steps of 2 to 10 %"
        " of the weights' norm.",
    )
    approximation_samples: int = option(
        64,
        "Samples that --check-approximation measures, drawn from training and dev samples alike.",
        check=positive,
    )
    overwrite: bool = shared.overwrite("gradients")
    dry_run: bool = shared.dry_run()
    project_gradients: bool = option(True, "Needless: see --project-dim.", hidden=True)
