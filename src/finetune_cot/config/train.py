"""Options of ``ftcot train``."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative, positive, share
from finetune_cot.config.options import command_config, option


@command_config
class TrainConfig:
    """A student is fine-tuned on rationales or on instruction data."""

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
    task_idxes: tuple[int, ...] | None = option(
        None, "Train on these tasks only, by their number in the sorted list.", check=not_negative
    )
    dev_tasks: str = option(
        "trained", "Tasks whose dev loss is measured: those trained on, or all.", choices=("trained", "all")
    )
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

    method: str = option("lora", "What is trained.", choices=("lora", "full"))
    lora_rank: int = option(4, "Rank of LoRA's matrices.", check=positive)
    lora_alpha: float = option(32.0, "LoRA's scale times its rank.", check=positive)
    lora_dropout: float = option(0.0, "Dropout before LoRA's first matrix.", check=share)
    lora_targets: tuple[str, ...] | None = option(
        None, "Modules that get LoRA, or all-linear; by default those usual for the model's family."
    )

    epochs: int = option(3, "Passes over the training data.", check=positive)
    lr: float = option(3e-4, "Learning rate.", check=positive)
    weight_decay: float = option(0.0, "AdamW's weight decay.", check=not_negative)
    schedule: str = option(
        "linear", "Course of the learning rate after warm-up.", choices=("linear", "cosine", "constant")
    )
    warmup: float = option(
        0.03, "Share of the optimizer steps in which the learning rate rises.", check=share
    )
    gradient_clip: float = option(1.0, "Largest norm of the gradient; 0 for none.", check=not_negative)
    batch_size: int = option(8, "Samples of a batch.", check=positive)
    inference_batch_size: int = option(
        32, "Samples of a batch when the dev loss is measured.", check=positive
    )
    accumulate: int = option(1, "Batches of an optimizer step.", check=positive)
    precision: str = shared.precision()
    devices: tuple[str, ...] = option(
        ("auto",), "Where to train: auto, 1 (device), cpu, mps, cuda, or a GPU such as 0 or cuda:1."
    )
    gradient_checkpointing: bool = option(False, "Compute activations twice to save memory.")
    seed: int = shared.seed()
    run: int = shared.run()
    runs: int = option(1, "Runs with different seeds, one after another.", check=positive)

    save_name: str | None = option(None, "Added to the checkpoint's name.", values="saved_names")
    train_key: str | None = option(
        None, "Name of this way of training in the student's completions; by default that of the method."
    )
    keep_epochs: bool = option(False, "Keep the weights of every epoch, not only the best and the last.")
    checkpoint_every: int = option(
        100, "Optimizer steps between two checkpoints within an epoch.", check=positive
    )
    load_model_dir: Path | None = option(
        None,
        "Start from this adapter, with its alpha and targets; with --method full from this model.",
        values="saved_models",
    )
    logger: tuple[str, ...] = option(
        (), "Logs beside the CSV file.", choices=("tensorboard", "trackio", "wandb")
    )
    write_results: bool = option(False, "Add dev losses to results.csv.")
    overwrite: bool = shared.overwrite("a checkpoint")
    saved_dir: Path = shared.saved_dir()
    data_dir: Path = shared.data_dir()
    dry_run: bool = shared.dry_run()
    train_lora: bool = option(False, "Same as --method lora.", hidden=True)
