"""Points of the meta-training at which gradients are taken, as trainable weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cot.artifacts.checkpoints import epoch_folder, is_checkpoint, require_finetuned, weights_folder
from finetune_cot.artifacts.files import read_json
from finetune_cot.artifacts.ids import CheckpointId
from finetune_cot.config.estimate import EstimateConfig
from finetune_cot.config.grads import GradsConfig
from finetune_cot.config.training import BOTTLENECK_METHODS, LORA_METHODS
from finetune_cot.errors import ArtifactError, ModelError, UsageError
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.train_checks import check_holds
from finetune_cot.pipeline.trainable import bottleneck_of

if TYPE_CHECKING:
    from torch import Tensor

PRETRAINED, META = "pretrained", "meta"
DEFAULT_POINTS = ("0.5",)


@dataclass(frozen=True)
class MetaTraining:
    """Where the gradients are taken."""

    checkpoint: Path | None
    """What the meta-training left; None at the pretrained model alone."""
    points: tuple[str, ...]


def find_meta_training(config: GradsConfig | EstimateConfig, save_name: str) -> MetaTraining:
    """The checkpoint that the options mean, and the points.

    Raises:
        UsageError: a point is none, or needs a meta-training that is not there.
        ModelError: ``--load-model-dir`` is not there.
    """
    for point in config.points:
        _check_point(point)
    checkpoint = config.load_model_dir
    if checkpoint is not None:
        require_finetuned(checkpoint)
    trained = CheckpointId(save_name, config.run).path(config.saved_dir)
    if checkpoint is None and not config.compute_pretrained_outputs and is_checkpoint(trained):
        checkpoint = trained
    if config.compute_pretrained_outputs:
        if config.points not in ((), (PRETRAINED,)):
            raise UsageError("contradicts --compute-pretrained-outputs", where="--points")
        return MetaTraining(None, (PRETRAINED,))
    if checkpoint is None:
        wanting = [point for point in config.points if point != PRETRAINED]
        if wanting:
            raise UsageError(
                f"{wanting[0]} needs a meta-training, and there is none at {trained}",
                where="--points",
                remedy="run `ftcot train` with the same options first, or give --load-model-dir",
            )
        say("no meta-training is there (`ftcot train` makes one): gradients at the pretrained model")
        return MetaTraining(None, (PRETRAINED,))
    return MetaTraining(checkpoint, config.points or DEFAULT_POINTS)


def point_weights(
    meta: MetaTraining, model: Any, initial: Mapping[str, "Tensor"], config: GradsConfig | EstimateConfig
) -> dict[str, dict[str, "Tensor"]]:
    """Trainable weights at each point, by name.

    Args:
        meta: Where the points lie.
        model: The model before any training.
        initial: Its trainable weights.
        config: The adapter's options.

    Raises:
        ModelError: the checkpoint is of another model or adapter.
        ArtifactError: weights were not kept, or are torn.
    """
    if meta.checkpoint is None:
        return {PRETRAINED: dict(initial)}
    last = _checkpoint_weights(meta.checkpoint, None, model, config)
    found = {}
    for point in meta.points:
        if point.startswith("epoch_"):
            found[point] = _checkpoint_weights(meta.checkpoint, int(point[6:]), model, config)
        else:
            share = {PRETRAINED: 0.0, META: 1.0}.get(point)
            share = float(point) if share is None else share
            found[point] = {name: start + share * (last[name] - start) for name, start in initial.items()}
    return found


def _check_point(point: str) -> None:
    if point in (PRETRAINED, META) or (point.startswith("epoch_") and point[6:].isdecimal()):
        return
    try:
        share = float(point)
    except ValueError:
        share = float("nan")
    if not 0 <= share <= 1:
        raise UsageError(
            f"{point!r} is no point", where="--points", remedy="use pretrained, meta, 0.5 or epoch_1"
        )


def _checkpoint_weights(
    checkpoint: Path, epoch: int | None, model: Any, config: GradsConfig | EstimateConfig
) -> dict[str, "Tensor"]:
    from finetune_cot.training.weights import fitting_weights, read_weights, trainable_weights

    if epoch is not None and not is_checkpoint(checkpoint):
        raise ArtifactError(
            "holds no epochs", where=checkpoint, remedy=f"see {epoch_folder(checkpoint, epoch)}"
        )
    folder = weights_folder(checkpoint, epoch) if is_checkpoint(checkpoint) else checkpoint
    check_holds(folder, config.method)
    _check_adapter(folder, config)
    weights = fitting_weights(model, read_weights(folder), folder)
    trained = trainable_weights(model)
    return {name: weights[name].to(start.device, start.dtype) for name, start in trained.items()}


def _check_adapter(folder: Path, config: GradsConfig | EstimateConfig) -> None:
    """Refuse an adapter that computes something else of the same weights."""
    if config.method in LORA_METHODS:
        found = read_json(folder / "adapter_config.json").get("lora_alpha")
        if found != config.lora_alpha:
            raise ModelError(
                f"was trained with alpha {found}, not {config.lora_alpha:g}",
                where=folder,
                remedy=f"give --lora-alpha {found}",
            )
    if config.method in BOTTLENECK_METHODS:
        from finetune_cot.training.bottleneck import check_bottleneck

        check_bottleneck(bottleneck_of(config), read_json(folder / "adapter_config.json")["config"], folder)


def weight_norms(points: Sequence[Mapping[str, "Tensor"]]) -> list[float]:
    """Euclidean norm of the trainable weights at each point."""
    return [
        float(sum(float(weight.float().pow(2).sum()) for weight in weights.values()) ** 0.5)
        for weights in points
    ]
