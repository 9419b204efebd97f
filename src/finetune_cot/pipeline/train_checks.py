"""What can be refused before a model is loaded: number formats, and what a training starts from."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from finetune_cot.artifacts.checkpoints import is_checkpoint, require_finetuned, weights_folder
from finetune_cot.artifacts.ensembles import is_ensemble
from finetune_cot.config.evaluate import EvaluateConfig
from finetune_cot.config.options import flag, replace
from finetune_cot.config.teach import TeachConfig
from finetune_cot.config.train import TrainConfig
from finetune_cot.config.training import (
    BOTTLENECK_METHODS,
    LORA_METHODS,
    METHODS,
    QUANTIZED_METHODS,
    AdapterOptions,
    ModelOptions,
)
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.pipeline.trainable import bottleneck_of

Options = TypeVar("Options", bound=EvaluateConfig | TeachConfig | ModelOptions)
Trained = TypeVar("Trained", bound=AdapterOptions)
_METHODS_BY_FLAG = {
    "train_lora": LORA_METHODS,
    "use_qlora": ("qlora",),
    "train_adapter": BOTTLENECK_METHODS,
    "use_qadapter": ("qadapter",),
}
_SHARDED_PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "16-true")


def settled_precision(config: Options) -> Options:
    """The config with Lightning's full name of its precision."""
    names = {"32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed"}
    return replace(config, precision=names.get(config.precision, config.precision))


def settled_method(config: Trained) -> Trained:
    """The config with the method that it means, also by older scripts' flags such as ``--use-qlora``.

    Raises:
        UsageError: they contradict each other.
    """
    given = [name for name in _METHODS_BY_FLAG if getattr(config, name)]
    fitting = [method for method in METHODS if all(method in _METHODS_BY_FLAG[name] for name in given)]
    method = config.method if config.method in fitting else next(iter(fitting), None)
    if method is None or config.method not in (method, AdapterOptions().method):
        other = f"--method {config.method}" if fitting else flag(given[0])
        raise UsageError(f"contradicts {other}", where=flag(given[-1]), remedy="leave one of them out")
    return replace(config, method=method, **dict.fromkeys(given, False))


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
    if config.strategy.startswith(("fsdp", "deepspeed")):
        _check_dividing(config, world)
    if config.batch_size < world:
        raise UsageError(
            f"{config.batch_size} samples cannot be shared by {world} devices",
            where="--batch-size",
            remedy="it counts the samples of all devices together",
        )


def _check_dividing(config: TrainConfig, world: int) -> None:
    """Refuse what cannot be divided between devices, by FSDP or by DeepSpeed."""
    by_deepspeed = config.strategy.startswith("deepspeed")
    precisions = ("32-true", "bf16-mixed") if by_deepspeed else _SHARDED_PRECISIONS
    refusals = {
        "divides a training between several devices": (world == 1, "see --devices"),
        "needs the package deepspeed, which is not installed": (
            by_deepspeed and importlib.util.find_spec("deepspeed") is None,
            "run: pip install 'finetune-cot[deepspeed]'; or give --strategy fsdp",
        ),
        "divides the weights too, and its files are none that a run here could be taken up from": (
            config.strategy == "deepspeed_stage_3",
            "give --strategy fsdp, which divides the same",
        ),
        f"cannot divide the weights of --method {config.method}": (
            config.method not in ("lora", "full"),
            "give --strategy ddp",
        ),
        f"cannot divide the state of --optimizer {config.optimizer}": (
            config.optimizer not in ("adamw", "sgd"),
            "give adamw or sgd",
        ),
        f"is not for --precision {config.precision}": (
            config.precision not in precisions,
            f"try {', '.join(precisions)}{'; or give --strategy fsdp' if by_deepspeed else ''}",
        ),
        "needs GPUs that are numbered from 0": (
            by_deepspeed and not _first_devices(config.devices),
            f"set CUDA_VISIBLE_DEVICES, and give --devices {world}",
        ),
        "takes a step after every batch": (
            by_deepspeed and config.accumulate > 1,
            "leave out --accumulate, or give --strategy fsdp",
        ),
    }
    for what, (is_wrong, remedy) in refusals.items():
        if is_wrong:
            raise UsageError(what, where=f"--strategy {config.strategy}", remedy=remedy)


def _first_devices(devices: Sequence[str]) -> bool:
    """Whether devices are CPUs, so many of them, or GPUs from the first one on."""
    numbers = [name.rpartition(":")[2] for name in devices]
    return len(devices) < 2 or "cpu" in devices or numbers == [str(number) for number in range(len(devices))]


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
        else f"give --method {held}, or another folder",
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
