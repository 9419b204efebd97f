"""Options of ``ftcot export-hf``."""

from pathlib import Path

from finetune_cot.config import shared
from finetune_cot.config.checks import not_negative, positive
from finetune_cot.config.options import command_config, option
from finetune_cot.config.training import METHODS


@command_config
class ExportHfConfig:
    """A checkpoint becomes a model directory that plain transformers or PEFT loads."""

    load_model_dir: Path | None = option(
        None,
        "Checkpoint to export; by default the one trained last, of those that the following options name.",
        values="saved_models",
    )
    model_key: str | None = option(None, "Model that was trained.", values="model_keys")
    finetune_key: str | None = option(
        None, "Data that it was trained on.", values="finetune_keys", aliases=("--dataset-key",)
    )
    data_path: str | None = option(None, "Instruction data that it was trained on.")
    save_name: str | None = option(None, "What was added to its name.", values="saved_names")
    train_key: str | None = option(None, "Way of training of the student.")
    method: str | None = option(None, "What was trained.", choices=METHODS)
    lora_rank: int | None = option(None, "Rank of its LoRA matrices.", check=positive)
    run: int | None = option(None, "Number of the run, from 0.", check=not_negative)
    merged: bool = option(
        True,
        "Merge the adapter into the base model; --no-merged keeps it apart, as bottleneck adapters are.",
    )
    merge_base: str | None = option(
        None,
        "What a QLoRA adapter is merged into: the base model in 4 bits that it was trained on, dequantized,"
        " which is the default and gives the same answers, or the original one.",
        choices=("dequantized", "original"),
    )
    dtype: str = option(
        "float32", "Number format of the exported weights.", choices=("float32", "bfloat16", "float16")
    )
    overwrite: bool = shared.overwrite("an exported model")
    saved_dir: Path = shared.saved_dir()
    dry_run: bool = shared.dry_run()
