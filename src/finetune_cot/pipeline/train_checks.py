"""What can be refused before a model is loaded: number formats, and what a training starts from."""

import importlib.util
from pathlib import Path
from typing import TypeVar

from finetune_cot.artifacts.checkpoints import is_checkpoint, require_finetuned, weights_folder
from finetune_cot.artifacts.ensembles import is_ensemble
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.options import replace
from finetune_cot.config.teach import TeachConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.config.training import BOTTLENECK_METHODS, LORA_METHODS, QUANTIZED_METHODS, ModelOptions
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.pipeline.trainable import bottleneck_of

Options = TypeVar("Options", bound=EvaluateConfig | TeachConfig | ModelOptions)
_SHARDED_PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "16-true")


def settled_precision(config: Options) -> Options:
    """The config with Lightning's full name of its precision."""
    names = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}
    return replace(config, precision=names.get(config.precision, config.precision))


def check_precision(precision: str, device: str) -> None:
    """Refuse number formats that the device or the installed packages cannot compute in.

    Raises:
        UsageError: names another format.
    """
    wrong = None
    if precision in ("16-mixed", "16-true") and device == "cpu":
        wrong = "needs a GPU: a CPU has bfloat16, and no float16 to speak of"
    elif precision == "64-true" and device == "mps":
        wrong = "cannot be computed on this GPU"
    elif precision == "transformer-engine" and not device.startswith("cuda"):
        wrong = "needs an NVIDIA GPU"
    elif precision == "transformer-engine" and importlib.util.find_spec("transformer_engine") is None:
        wrong = "needs the package transformer-engine, which is not installed"
    if wrong:
        raise UsageError(f"{precision} {wrong}", where="--precision", remedy="try bf16-mixed or 32-true")


def check_strategy(config: TrainConfig, world: int) -> None:
    """Refuse what several devices cannot do together.

    Args:
        config: The command's options.
        world: How many processes train together.

    Raises:
        UsageError: names the option.
    """
    strategy, wrong, remedy = config.strategy, None, "give --strategy fsdp, which divides the same"
    if strategy.startswith("deepspeed"):
        there = importlib.util.find_spec("deepspeed") is not None
        wrong = "keeps files that no run here can be taken up from" if there else "is not installed"
        wrong = f"DeepSpeed {wrong}"
    elif strategy == "fsdp" and world == 1:
        wrong, remedy = "divides the weights between several devices", "see --devices"
    elif strategy == "fsdp" and config.method not in ("lora", "full"):
        wrong, remedy = f"cannot divide the weights of --method {config.method}", "give --strategy ddp"
    elif strategy == "fsdp" and config.optimizer not in ("adamw", "sgd"):
        wrong, remedy = f"cannot divide the state of --optimizer {config.optimizer}", "give adamw or sgd"
    elif strategy == "fsdp" and config.precision not in _SHARDED_PRECISIONS:
        wrong, remedy = f"is not for --precision {config.precision}", f"try {', '.join(_SHARDED_PRECISIONS)}"
    if wrong:
        raise UsageError(wrong, where=f"--strategy {strategy}", remedy=remedy)
    if config.batch_size < world:
        raise UsageError(
            f"{config.batch_size} samples cannot be shared by {world} devices",
            where="--batch-size",
            remedy="it counts the samples of all devices together",
        )


def check_method(config: ModelOptions) -> None:
    """Refuse options about what is trained that contradict each other, or that need a missing library.

    Raises:
        UsageError: names the option.
    """
    if config.train_layers is not None and config.method != "full":
        raise UsageError(
            "chooses among the model's own layers", where="--train-layers", remedy="give --method full"
        )
    if config.method in BOTTLENECK_METHODS:
        from finetune_cot.models.bottleneck import require_adapters

        require_adapters(f"--method {config.method}")
        bottleneck_of(config)
    if config.method in QUANTIZED_METHODS:
        from finetune_cot.models.quantized import require_bitsandbytes

        require_bitsandbytes(f"--method {config.method}")
        if config.precision in ("64-true", "transformer-engine"):
            raise UsageError(
                f"layers in 4 bits cannot compute in {config.precision}",
                where="--precision",
                remedy="try bf16-mixed or 32-true",
            )


def check_optimizer(optimizer: str, device: str) -> None:
    """Refuse an optimizer whose package or device is missing.

    Raises:
        UsageError: names another one.
    """
    where = f"--optimizer {optimizer}"
    if optimizer.startswith("paged") and not device.startswith("cuda"):
        raise UsageError("needs a GPU, whose memory it pages", where=where, remedy="use adamw or adamw_8bit")
    if "8bit" in optimizer or "paged" in optimizer:
        from finetune_cot.models.quantized import require_bitsandbytes

        require_bitsandbytes(where)


def check_start(config: ModelOptions) -> None:
    """Refuse a method that cannot be, and a folder to start from that does not fit it.

    Raises:
        UsageError: it holds an adapter where a whole model is to be trained, or the other way round.
        ModelError: it is not there, or a whole model was trained from another base.
    """
    check_method(config)
    folder = config.load_model_dir
    if folder is None:
        return
    from finetune_cot.models.finetuned import student_of

    require_finetuned(folder)
    check_holds(weights_folder(folder) if is_checkpoint(folder) else folder, config.method)
    student = student_of(folder)
    if config.method == "full" and student is not None and student.model_key != config.model_key:
        raise ModelError(
            f"was trained from {student.model_key}, not from {config.model_key}",
            where=folder,
            remedy=f"give --model-key {student.model_key}",
        )


def check_holds(weights: Path, method: str) -> None:
    """Refuse a folder with the weights of another method.

    Raises:
        UsageError: it holds an adapter where a whole model is to be trained, or the other way round, or an
            adapter of another kind.
        ModelError: the adapter's configuration is torn.
    """
    if is_ensemble(weights):
        raise UsageError(
            "holds an ensemble, which is not trained further", where=weights, remedy="give one of its members"
        )
    held = _held_method(weights)
    if held == method:
        return
    if held == "full":
        raise UsageError(
            "holds a whole model, not an adapter",
            where=weights,
            remedy="give it as --model-key, or train it further with --method full",
        )
    kind = "an adapter of PEFT" if held in LORA_METHODS else "a bottleneck adapter"
    on = " on a base model in 4 bits" if held in QUANTIZED_METHODS else ""
    raise UsageError(
        f"holds {kind}{on}, which is trained further with --method {held}",
        where=weights,
        remedy="to train the whole model, merge it with `ftcot export-hf` and give that as --model-key"
        if held in LORA_METHODS and method == "full"
        else None,
    )


def _held_method(weights: Path) -> str:
    """The method that trained what is in a folder."""
    from finetune_cot.models.bottleneck import is_bottleneck
    from finetune_cot.models.quantized import QUANTIZATION_FILE
    from finetune_cot.models.safety import read_object

    path = weights / "adapter_config.json"
    if not path.is_file():
        return "full"
    methods = BOTTLENECK_METHODS if is_bottleneck(read_object(path)) else LORA_METHODS
    return methods[(weights / QUANTIZATION_FILE).is_file()]
