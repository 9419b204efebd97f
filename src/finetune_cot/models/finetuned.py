"""Fine-tuned models: checkpoints, adapters and exported folders, loaded whole or not at all."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finetune_cot.artifacts.checkpoints import is_checkpoint, require_finetuned, weights_folder
from finetune_cot.artifacts.ensembles import is_ensemble
from finetune_cot.artifacts.students import STUDENT_FILE, Student, read_student
from finetune_cot.errors import ModelError
from finetune_cot.models.bottleneck import (
    BOTTLENECK_WEIGHTS,
    HEAD_FILES,
    adapter_parameters,
    is_bottleneck,
    put_on,
)
from finetune_cot.models.classification import head_parameters
from finetune_cot.models.loading import (
    LoadedModel,
    load_folder,
    load_model,
    model_folder,
    pick_device,
    quiet_transformers,
    told_as_model_error,
    weights_dtype,
)
from finetune_cot.models.quantized import QUANTIZATION_FILE
from finetune_cot.models.registry import resolve
from finetune_cot.models.safety import read_object
from finetune_cot.tasks.label_space import LabelSpace, labels_of

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def load_finetuned(
    folder: Path,
    *,
    model_key: str | None = None,
    precision: str = "32-true",
    device: str = "auto",
    merged: bool = True,
) -> LoadedModel:
    """Load a fine-tuned model from a checkpoint, an adapter's folder, or a whole model's folder.

    Args:
        folder: What `train` or `export-hf` wrote, or a folder in the form of PEFT or transformers.
        model_key: The base model, if not the one that the folder names.
        precision: Number format, by Lightning's names.
        device: Where it shall run.
        merged: Whether an adapter is merged into the base model, which makes it as fast as that; one that
            was trained on a base in 4 bits stays apart, since merged weights would have to be rounded.

    Raises:
        ModelError: nothing of the kind is there, it is torn, or it does not fit the base model in every key.
        UsageError: the device is not there.
    """
    require_finetuned(folder)
    weights = weights_folder(folder) if is_checkpoint(folder) else folder
    if is_ensemble(weights):
        from finetune_cot.models.ensemble import load_ensemble

        return load_ensemble(weights, model_key=model_key, precision=precision, device=device)
    student = student_of(folder)
    if (weights / ADAPTER_CONFIG).is_file():
        base_key = _base_of_adapter(weights, student, model_key)
        if (weights / QUANTIZATION_FILE).is_file():
            return _on_quantized(base_key, weights, precision, device, labels_of(student))
        # Merging rounds, so that it is done in float32 whatever the precision is.
        base = load_model(
            base_key,
            precision="32-true" if merged else precision,
            device=device,
            labels=labels_of(student),
        )
        loaded = with_adapter(base, weights, merged=merged)
        return replace(loaded, model=loaded.model.to(weights_dtype(precision)), precision=precision)
    if not (weights / "config.json").is_file():
        raise ModelError(
            "is neither a checkpoint, nor an adapter, nor a model",
            where=folder,
            remedy="give a folder that `ftcot train` or `ftcot export-hf` wrote",
        )
    return _load_whole(weights, student, model_key, precision, device)


def student_of(folder: Path) -> Student | None:
    """What a folder, or the checkpoint around it, says of the student in it; None where they say nothing.

    Raises:
        ArtifactError: the file is torn or of another form.
    """
    home = student_home(folder)
    return read_student(home / STUDENT_FILE) if home else None


def student_home(folder: Path) -> Path | None:
    """The folder itself or the checkpoint around it, whichever holds a student's metadata."""
    around = [folder, *folder.resolve().parents[:2]]
    return next((place for place in around if (place / STUDENT_FILE).is_file()), None)


def with_adapter(base: LoadedModel, folder: Path, *, merged: bool, name: str = "default") -> LoadedModel:
    """A base model with an adapter in PEFT's form, which must fit it in every key and shape.

    One in the form of the adapters library does as well; it is never merged.

    Args:
        base: A base model, or one that has adapters of other names.
        folder: The adapter's folder.
        merged: Whether it is merged into the base model.
        name: What it is called in the model.

    Raises:
        ModelError: the adapter is torn or belongs to another model.
        UsageError: it needs the adapters library, which is not there.
    """
    from peft import PeftConfig, PeftModel, get_peft_model
    from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

    described = read_object(folder / ADAPTER_CONFIG)
    if is_bottleneck(described):
        return _with_bottleneck(base, folder, described)
    weights = read_weights(folder / ADAPTER_WEIGHTS)
    with quiet_transformers(), told_as_model_error(folder):
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        # PEFT fills in the folder that the base was loaded from; by another name it would ask the hub for it.
        config.base_model_name_or_path = None
        model: Any = base.model
        if isinstance(model, PeftModel):
            model.add_adapter(name, config)
        else:
            model = get_peft_model(model, config, adapter_name=name)
        own = get_peft_model_state_dict(model, adapter_name=name)
        _check_fit(own, weights, folder / ADAPTER_WEIGHTS, base.base_name)
        set_peft_model_state_dict(model, weights, adapter_name=name)
        config.base_model_name_or_path = base.base_name
        if merged:
            model = model.merge_and_unload()
    return replace(base, model=model.eval())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        ModelError: it is missing or torn.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"the weights are missing or torn: {error}", where=path, remedy="train or export again"
        ) from None


def _on_quantized(
    base_key: str, weights: Path, precision: str, device: str, labels: LabelSpace | None
) -> LoadedModel:
    base = load_model(base_key, precision=precision, device=device, labels=labels, quantized=True)
    loaded = with_adapter(base, weights, merged=False)
    for parameter in loaded.model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(weights_dtype(precision))
    return loaded


def _with_bottleneck(base: LoadedModel, folder: Path, described: Mapping[str, Any]) -> LoadedModel:
    weights, model = read_weights(folder / BOTTLENECK_WEIGHTS), base.model
    put_on(model, str(described.get("name")), described["config"], base_name=base.base_name, where=folder)
    if base.labels:
        weights |= read_weights(folder / HEAD_FILES[0])
    parameters = {**adapter_parameters(model), **head_parameters(model)}
    _check_fit(parameters, weights, folder / BOTTLENECK_WEIGHTS, base.base_name)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    return replace(base, model=model.eval())


def _check_fit(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: Path, base_name: str
) -> None:
    missing, left_over = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    shapes = sorted(key for key in expected.keys() & found.keys() if expected[key].shape != found[key].shape)
    kinds = (("missing", missing), ("left over", left_over), ("of another shape", shapes))
    wrong = [f"{len(keys)} {kind}, such as {keys[0]}" for kind, keys in kinds if keys]
    if wrong:
        raise ModelError(
            f"an adapter of another model than {base_name}: {'; '.join(wrong)}",
            where=where,
            remedy="give the model that it was trained on as --model-key",
        )


def _base_of_adapter(weights: Path, student: Student | None, model_key: str | None) -> str:
    recorded = read_object(weights / ADAPTER_CONFIG).get("base_model_name_or_path")
    names = [name for name in (recorded, student.model_key if student else None) if name]
    if model_key is None:
        if not names:
            raise ModelError("does not name its base model", where=weights, remedy="give it as --model-key")
        # A folder may have been moved, and the embedded model's is a cache.
        return next((name for name in names if not Path(name).is_absolute() or Path(name).is_dir()), names[0])
    # Models of one family may fit each other's adapters in every shape.
    if names and not any(_short_name(name) == _short_name(model_key) for name in names):
        raise ModelError(
            f"an adapter of another model: trained on {names[0]}, not {model_key}",
            where=weights,
            remedy=f"leave --model-key out, or give {names[0]}; if the model was only renamed, change"
            f" base_model_name_or_path in {ADAPTER_CONFIG}",
        )
    return model_key


def _short_name(model_key: str) -> str:
    """A model's name without its owner or folder."""
    try:
        location = resolve(model_key).location
    except ModelError:
        location = model_key
    return Path(location).expanduser().resolve().name.lower()


def _load_whole(
    weights: Path, student: Student | None, model_key: str | None, precision: str, device: str
) -> LoadedModel:
    base_key = model_key or (student.model_key if student else None)
    target = pick_device(device)
    has_tokenizer = (weights / "tokenizer_config.json").is_file()
    if not has_tokenizer and not base_key:
        raise ModelError("holds no tokenizer", where=weights, remedy="give its base model as --model-key")
    tokenizer = None if has_tokenizer or not base_key else model_folder(base_key)[0]
    return load_folder(
        weights,
        base_name=base_key or str(weights.resolve()),
        precision=precision,
        device=target,
        tokenizer_folder=tokenizer,
        exact=True,
        labels=labels_of(student),
    )
