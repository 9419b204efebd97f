"""The memory that a training needs, before it begins, and how a dry run finds out without the weights."""

import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_cot.artifacts.checkpoints import is_checkpoint, weights_folder
from finetune_cot.artifacts.files import read_json
from finetune_cot.config.options import replace
from finetune_cot.config.train import TrainConfig
from finetune_cot.config.training import LORA_METHODS, QUANTIZED_METHODS
from finetune_cot.estimation.memory import free_memory
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.train_plan import RunPlan
from finetune_cot.pipeline.trainable import Examples, begin_training, encode_parts, training_settings
from finetune_cot.tasks.label_space import labels_of

if TYPE_CHECKING:
    from finetune_cot.training.memory import MemoryEstimate

_PAGES = Path("/proc/self/statm")


def program_memory(device: str) -> int:
    """Bytes that this process holds before a model is loaded; 0 on a GPU, and where the system does not tell.

    What an earlier run left is given back first.
    """
    if device != "cpu" or not _PAGES.is_file():
        return 0
    # What every training imports.
    import finetune_cot.training.fit
    import finetune_cot.training.lora  # noqa: F401
    from finetune_cot.training.freed_memory import give_back

    gc.collect()
    give_back()
    return int(_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def training_memory(plan: RunPlan, program: int, examples: Examples | None = None) -> "MemoryEstimate | None":
    """Memory at the peak of a run, of each process; None for a model whose steps depend on its numbers.

    Args:
        plan: What the run is.
        program: What `program_memory` told.
        examples: The samples as token ids, where they are known.

    Raises:
        ModelError: the model is not there.
        UsageError: the options about what is trained do not fit it.
        DataError: no training sample is short enough.
    """
    import torch

    from finetune_cot.models.loading import sketch_model
    from finetune_cot.training.memory import estimate_memory

    config = plan.config
    try:
        with torch.device("meta"):
            sketch = sketch_model(config.model_key, config.precision, labels_of(plan.student))
            model = begin_training(sketch.model, _as_loaded(config), sketch.base_name)
        if examples is None:
            examples = encode_parts(plan.parts, plan.student.template, config.max_length, sketch)
        return estimate_memory(
            model,
            examples.train,
            examples.dev,
            sketch.tokenizer.pad_token_id,
            training_settings(config, plan.device, strategy=config.strategy, processes=plan.processes),
            quantized=config.method in QUANTIZED_METHODS,
            program=program,
            file=_file_size(config.model_key) if plan.device == "cpu" else 0,
        )
    except RuntimeError as error:
        say(f"how much memory this model needs cannot be told: {str(error).splitlines()[0]}")
        return None


def memory_line(estimate: "MemoryEstimate", device: str, *, loaded: bool) -> str:
    """What is trained, what it needs, and whether so much is free, in words.

    Args:
        estimate: What it needs.
        device: Where it is trained.
        loaded: Whether the model is there already.
    """
    parts = {
        "program": estimate.program,
        "weights": estimate.weights,
        "gradients": estimate.gradients,
        "optimizer": estimate.optimizer,
        f"activations of {estimate.batch_tokens} tokens": estimate.activations,
        "gaps": estimate.gaps,
    }
    large = {name: count for name, count in parts.items() if 100 * count > estimate.total}
    told = ", ".join(f"{name} {_size(count)}" for name, count in large.items())
    line = (
        f"{estimate.trainable_parameters:,} of {estimate.parameters:,} parameters are trained;"
        f" about {_size(estimate.total)} of memory at the peak ({told})"
    )
    free = _free(device)
    needed = estimate.total - estimate.program - (estimate.weights if loaded else 0)
    if free is None or needed <= free:
        return line
    return (
        f"{line}; that may be too much, since {_size(free)} are free: try --gradient-checkpointing, or a"
        " smaller --batch-size with --accumulate"
    )


def _free(device: str) -> int | None:
    """Bytes that are free where it is trained; None where that is not known."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    return free_memory() if device == "cpu" else None


def _as_loaded(config: TrainConfig) -> TrainConfig:
    """The options with the targets of the LoRA adapter that is trained further, which are its own."""
    folder = config.load_model_dir
    if folder is None or config.method not in LORA_METHODS:
        return config
    weights = weights_folder(folder) if is_checkpoint(folder) else folder
    targets = read_json(weights / "adapter_config.json").get("target_modules")
    return replace(config, lora_targets=tuple(targets)) if isinstance(targets, list) else config


def _file_size(model_key: str) -> int:
    from finetune_cot.models.loading import model_folder

    folder, _ = model_folder(model_key, weights=False)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"
