"""What can be refused before a model is loaded: devices, number formats, and what a training starts from."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from finetune_cot.artifacts.checkpoints import is_checkpoint, weights_folder
from finetune_cot.config.options import replace
from finetune_cot.config.training import ModelOptions
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.pipeline.trainable import bottleneck_of

Options = TypeVar("Options", bound=ModelOptions)


def training_device(devices: Sequence[str]) -> str:
    """The one device that ``--devices`` means: ``cpu``, ``mps`` or ``cuda:<index>``.

    Raises:
        UsageError: this machine has no such device, or several are asked for.
    """
    import torch

    from finetune_cot.models.loading import pick_device

    gpus = torch.cuda.device_count()
    wanted = [name.lower() for name in devices] or ["auto"]
    number = int(wanted[0]) if wanted[0].isdecimal() else None
    if len(wanted) > 1 or (number is not None and number > 1):
        asked = len(wanted) if len(wanted) > 1 else number
        raise UsageError(
            f"{asked} devices are asked for; this machine has {gpus} GPUs, and training uses one device",
            where="--devices",
            remedy="give auto, cpu, or one GPU such as cuda:1",
        )
    if number == 0 and gpus == 0:
        raise UsageError(
            "this machine has no GPU 0", where="--devices", remedy="give auto, or cpu to train without a GPU"
        )
    name = {0: "cuda:0", 1: "auto", None: wanted[0]}[number]
    try:
        return str(pick_device(name))
    except UsageError as error:
        raise UsageError(error.what, where="--devices", remedy=error.remedy) from None


def rank_device(devices: Sequence[str], world: int, local_rank: int) -> str:
    """The device of one of several processes: its own of those named, or of this machine's GPUs.

    Args:
        devices: What ``--devices`` says.
        world: Processes of the run, on all machines; a single one has the `training_device`.
        local_rank: Number of the process on its machine.

    Raises:
        UsageError: this machine has no such device, or a single process is to use several.
    """
    import torch

    count = int(devices[0]) if len(devices) == 1 and devices[0].isdecimal() else len(devices)
    if world == 1 and count > 1:
        raise UsageError(
            f"{count} devices are asked for, and each needs a process of its own",
            where="--devices",
            remedy=f"run torchrun --standalone --nproc-per-node {count} -m finetune_cot, and the same words",
        )
    named = [f"cuda:{name}" if name.isdecimal() else name for name in devices]
    if len(devices) < 2 and devices and (devices[0].isdecimal() or devices[0].lower() in ("auto", "cuda")):
        named = [f"cuda:{index}" for index in range(torch.cuda.device_count())] or ["cpu"]
    return training_device([named[local_rank % len(named)]] if world > 1 else devices)


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
    if precision == "16-mixed" and device == "cpu":
        wrong = "needs a GPU: a CPU cannot compute in mixed float16"
    elif precision == "64-true" and device == "mps":
        wrong = "cannot be computed on this GPU"
    elif precision == "transformer-engine" and not device.startswith("cuda"):
        wrong = "needs an NVIDIA GPU"
    elif precision == "transformer-engine" and importlib.util.find_spec("transformer_engine") is None:
        wrong = "needs the package transformer-engine, which is not installed"
    if wrong:
        raise UsageError(f"{precision} {wrong}", where="--precision", remedy="try bf16-mixed or 32-true")


def check_method(config: ModelOptions) -> None:
    """Refuse options about what is trained that contradict each other, or that need a missing library.

    Raises:
        UsageError: names the option.
    """
    if config.train_layers is not None and config.method != "full":
        raise UsageError(
            "chooses among the model's own layers", where="--train-layers", remedy="give --method full"
        )
    if config.method == "adapter":
        from finetune_cot.models.bottleneck import require_adapters

        require_adapters("--method adapter")
        bottleneck_of(config)


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

    if not folder.is_dir():
        raise ModelError("no fine-tuned model is there", where=folder, remedy="check --load-model-dir")
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
    from finetune_cot.models.bottleneck import is_bottleneck
    from finetune_cot.models.safety import read_object

    path = weights / "adapter_config.json"
    described = read_object(path) if path.is_file() else None
    held = "full" if described is None else "adapter" if is_bottleneck(described) else "lora"
    if held == method:
        return
    if held == "full":
        raise UsageError(
            "holds a whole model, not an adapter",
            where=weights,
            remedy="give it as --model-key, or train it further with --method full",
        )
    kind = {"lora": "an adapter of PEFT", "adapter": "a bottleneck adapter"}[held]
    raise UsageError(
        f"holds {kind}, which is trained further with --method {held}",
        where=weights,
        remedy="to train the whole model, merge it with `ftcot export-hf` and give that as --model-key"
        if (held, method) == ("lora", "full")
        else None,
    )
