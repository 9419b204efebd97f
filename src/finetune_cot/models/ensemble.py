"""Ensembles of adapters: one base model in memory, and every member on it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from finetune_cot.artifacts.ensembles import read_ensemble
from finetune_cot.models.finetuned import student_of, with_adapter
from finetune_cot.models.loading import LoadedModel, load_model, weights_dtype
from finetune_cot.models.mixture import Mixture
from finetune_cot.models.quantized import QUANTIZATION_FILE
from finetune_cot.tasks.label_space import LabelSpace, labels_of


def load_ensemble(
    folder: Path, *, model_key: str | None = None, precision: str = "32-true", device: str = "auto"
) -> LoadedModel:
    """Load an ensemble, which speaks as one model.

    Args:
        folder: What `train --groups` wrote.
        model_key: The base model, if not the one that the ensemble names.
        precision: Number format, by Lightning's names.
        device: Where it shall run.

    Raises:
        ArtifactError: the description is torn.
        ModelError: a member is missing, torn, or of another base model.
    """
    ensemble = read_ensemble(folder)
    members = {name: folder / name for name in ensemble.members}
    loaded = load_members(
        model_key or ensemble.model_key,
        members,
        precision=precision,
        device=device,
        labels=labels_of(student_of(folder)),
    )
    mixture = Mixture(ensemble.members, ensemble.weights, ensemble.weights_by_task)
    return replace(loaded, mixture=mixture)


def load_members(
    model_key: str,
    members: Mapping[str, Path],
    *,
    precision: str,
    device: str,
    labels: LabelSpace | None = None,
) -> LoadedModel:
    """Load several LoRA adapters on one base model, which they share.

    Args:
        model_key: The base model.
        members: Folder of each adapter, by the name that it gets in the model.
        precision: Number format, by Lightning's names.
        device: Where it shall run.
        labels: What classifiers' heads are to say; each adapter has its own. None of language models.

    Raises:
        ModelError: an adapter is missing, torn, or of another base model.
    """
    quantized = any((folder / QUANTIZATION_FILE).is_file() for folder in members.values())
    loaded = load_model(model_key, precision=precision, device=device, labels=labels, quantized=quantized)
    for name, folder in members.items():
        loaded = with_adapter(loaded, folder, merged=False, name=name)
    for parameter in loaded.model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(weights_dtype(precision))
    return loaded
