"""Options of every command about training: the data, the adapter, the optimizer."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative, positive, share
from finetune_cot.config.options import command_config, option

LORA_METHODS, BOTTLENECK_METHODS = ("lora", "qlora"), ("adapter", "qadapter")
QUANTIZED_METHODS = ("qlora", "qadapter")
"""Those whose base model is kept in 4 bits."""
METHODS = (*LORA_METHODS, *BOTTLENECK_METHODS, "full")
OPTIMIZERS = ("adamw", "sgd", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit")
NON_LINEARITIES = ("relu", "gelu", "gelu_new", "silu", "swish", "tanh", "sigmoid", "leakyrelu")


@command_config
class DataOptions:
    """Which model, and which samples in which form."""

    model_key: str = shared.model_key()
    finetune_key: str | None = shared.finetune_key(
        "Training data that `build-finetune-data` wrote; several, joined by +, are trained on together."
    )
    dataset_key: str | None = shared.dataset_key(
        "bundled", "Data set whose own rationales or answers are trained on, where no other data is named."
    )
    data_path: str | None = option(
        None, "Instruction data: a JSONL, JSON, CSV or Parquet file, a folder, or a Hugging Face data set."
    )
    task_field: str = shared.task_field()
    downsample: float = shared.downsample()
    split_key: str = shared.split_key()
    template: str | None = option(
        None,
        "How question, rationale and answer are joined; ft_cot_token, or ft_token without rationales.",
        choices=("ft_token", "ft_natural", "ft_cot_token", "ft_cot_natural"),
    )
    dev_fraction: float = option(
        0.1, "Share of the training questions of each task held out as dev set.", check=share
    )
    max_length: int = option(
        512, "Tokens of a sample, at most; longer ones are left out and counted.", check=positive
    )
    seed: int = shared.seed()
    run: int = shared.run()
    save_name: str | None = option(None, "Added to the checkpoint's name.", values="saved_names")
    saved_dir: Path = shared.saved_dir()
    data_dir: Path = shared.data_dir()


@command_config
class AdapterOptions:
    """What of the model is trained."""

    method: str = option(
        "lora",
        "What is trained: LoRA, bottleneck adapters, either on a base model in 4 bits (qlora, qadapter), or"
        " the model itself.",
        choices=METHODS,
    )
    lora_rank: int = option(4, "Rank of LoRA's matrices.", check=positive)
    lora_alpha: float = option(32.0, "LoRA's scale times its rank.", check=positive)
    lora_dropout: float = option(0.0, "Dropout before LoRA's first matrix.", check=share)
    lora_targets: tuple[str, ...] | None = option(
        None, "Modules that get LoRA, or all-linear; by default those usual for the model's family."
    )
    mh_adapter: bool = option(True, "A bottleneck adapter after the attention of each block.")
    output_adapter: bool = option(True, "A bottleneck adapter after the feed-forward part of each block.")
    reduction_factor: float = option(
        16.0, "Width of the model over that of its bottleneck adapters.", check=positive
    )
    non_linearity: str = option("relu", "Non-linearity of bottleneck adapters.", choices=NON_LINEARITIES)
    train_layers: tuple[str, ...] | None = option(
        None,
        "With --method full only these layers: names or ends of names, such as layers.29.mlp or *.q_proj,"
        " or last-2 for the last two blocks.",
    )
    freeze_head: bool = option(
        False,
        "Leave the head as it is; where it shares its weights with the token embeddings, these as well.",
    )
    load_model_dir: Path | None = option(
        None,
        "Start from this adapter, with its own alpha and targets; with --method full from this model.",
        values="saved_models",
    )
    precision: str = shared.precision()
    devices: tuple[str, ...] = option(
        ("auto",),
        "Where to compute: auto, cpu, mps, a GPU such as cuda:1, how many devices, or a list such as 0 1 2;"
        " each has a process of its own.",
    )
    train_lora: bool = option(False, "Same as --method lora.", hidden=True)
    use_qlora: bool = option(False, "Same as --method qlora.", hidden=True)
    train_adapter: bool = option(False, "Same as --method adapter.", hidden=True)
    use_qadapter: bool = option(False, "Same as --method qadapter.", hidden=True)


@command_config
class ModelOptions(AdapterOptions, DataOptions):
    """A model with something trainable, and the samples that it is trained on."""


@command_config
class OptimizerOptions:
    """How it is trained."""

    epochs: int = option(3, "Passes over the training data.", check=positive)
    lr: float = option(3e-4, "Learning rate.", check=positive)
    optimizer: str = option(
        "adamw",
        "Optimizer: sgd has no momentum; adamw_8bit keeps its state in 8 bits, the paged ones in memory that"
        " a GPU shares with the machine.",
        choices=OPTIMIZERS,
    )
    weight_decay: float = option(0.0, "The optimizer's weight decay.", check=not_negative)
    schedule: str = option(
        "linear", "Course of the learning rate after warm-up.", choices=("linear", "cosine", "constant")
    )
    warmup: float = option(
        0.03, "Share of the optimizer steps in which the learning rate rises.", check=share
    )
    gradient_clip: float = option(1.0, "Largest norm of the gradient; 0 for none.", check=not_negative)
    batch_size: int = option(8, "Samples of a batch, over all devices together.", check=positive)
    inference_batch_size: int = option(
        32, "Samples of a batch when the dev loss is measured.", check=positive
    )
    accumulate: int = option(1, "Batches of an optimizer step.", check=positive)
    gradient_checkpointing: bool = option(False, "Compute activations twice to save memory.")


@command_config
class TrainingOptions(OptimizerOptions, ModelOptions):
    """All that a training takes."""
