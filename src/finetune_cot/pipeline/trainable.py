"""What a training needs: a model with something trainable, samples as token ids, and the settings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cot.config.training import (
    BOTTLENECK_METHODS,
    LORA_METHODS,
    QUANTIZED_METHODS,
    AdapterOptions,
    ModelOptions,
    TrainingOptions,
)
from finetune_cot.errors import DataError, ModelError
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.train_data import Parts, TrainingText, chat_renderer, text_segments

if TYPE_CHECKING:
    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.models.loading import LoadedModel
    from finetune_cot.tasks.label_space import LabelSpace
    from finetune_cot.training.bottleneck import Bottleneck
    from finetune_cot.training.settings import TrainingSettings


def trained_part(config: AdapterOptions) -> str:
    """What of a model is trained, in words that tell it from any other choice."""
    base = " of 4 bits" if config.method in QUANTIZED_METHODS else ""
    if config.method in LORA_METHODS:
        targets = ",".join(config.lora_targets or ()) or "usual"
        return f"lora r {config.lora_rank} alpha {config.lora_alpha:g} on {targets}{base}"
    if config.method in BOTTLENECK_METHODS:
        places = {"attention": config.mh_adapter, "output": config.output_adapter}
        after = " and ".join(place for place, there in places.items() if there)
        return f"bottleneck {config.non_linearity} rf {config.reduction_factor:g} after {after}{base}"
    layers = "" if config.train_layers is None else f" on {','.join(config.train_layers)}"
    return f"full{layers}{' but the head' if config.freeze_head else ''}"


def bottleneck_of(config: AdapterOptions) -> "Bottleneck":
    """The bottleneck adapters that the options mean.

    Raises:
        UsageError: there would be none.
    """
    from finetune_cot.training.bottleneck import Bottleneck

    return Bottleneck(config.mh_adapter, config.output_adapter, config.reduction_factor, config.non_linearity)


@dataclass(frozen=True)
class Examples:
    """The samples of both parts, as token ids."""

    train: list["EncodedExample"]
    dev: list["EncodedExample"]
    too_long: int
    """Samples left out because they have too many tokens."""


def load_trainable(
    config: ModelOptions, device: str, labels: "LabelSpace | None" = None
) -> tuple[Any, "LoadedModel"]:
    """The model with what is to be trained, and what was loaded with it.

    Args:
        config: Which model, and what of it is trained.
        device: Where it shall run.
        labels: What a classifier's head is to say; None for a language model.

    Raises:
        ModelError: the model or the adapter cannot be loaded.
        UsageError: the adapter's options do not fit the model.
    """
    from finetune_cot.models.finetuned import load_finetuned
    from finetune_cot.models.loading import load_model

    if config.load_model_dir is not None:
        loaded = load_finetuned(
            config.load_model_dir,
            model_key=config.model_key,
            precision=config.precision,
            device=device,
            merged=config.method == "full",
        )
    else:
        loaded = load_model(
            config.model_key,
            precision=config.precision,
            device=device,
            labels=labels,
            seed=config.seed + config.run,
            quantized=config.method in QUANTIZED_METHODS,
        )
    check_labels(loaded, labels, config.load_model_dir)
    if config.load_model_dir is not None and config.method != "full":
        return _resumed(loaded.model, config, config.load_model_dir), loaded
    return begin_training(loaded.model, config, loaded.base_name), loaded


def begin_training(model: Any, config: ModelOptions, base_name: str) -> Any:
    """Put a new adapter on a base model, or choose the layers of it that are trained."""
    from finetune_cot.training.bottleneck import add_bottleneck
    from finetune_cot.training.chosen_layers import choose_layers
    from finetune_cot.training.lora import add_lora

    seed = config.seed + config.run
    if config.method == "full":
        return choose_layers(model, config.train_layers, freeze_head=config.freeze_head)
    if config.method in BOTTLENECK_METHODS:
        return add_bottleneck(
            model, bottleneck_of(config), base_name=base_name, seed=seed, freeze_head=config.freeze_head
        )
    return add_lora(
        model,
        base_name=base_name,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        targets=config.lora_targets,
        seed=seed,
        freeze_head=config.freeze_head,
    )


def check_labels(loaded: "LoadedModel", labels: "LabelSpace | None", where: object) -> None:
    """Refuse to go on from a model whose head says something else.

    Raises:
        ModelError: its labels are others, or it is no classifier, or one where none is wanted.
    """
    if loaded.labels == labels:
        return
    found = f"a classifier of {', '.join(loaded.labels.tasks)}" if loaded.labels else "a language model"
    wanted = f"a classifier of {', '.join(labels.tasks)}" if labels else "a language model"
    remedy = "give data of the same tasks, or another model"
    raise ModelError(f"holds {found}, not {wanted}", where=where, remedy=remedy)


def encode_parts(parts: Parts, template: str | None, max_length: int, loaded: "LoadedModel") -> Examples:
    """Tokenize the samples of both parts; longer ones than ``max_length`` tokens are left out.

    Raises:
        DataError: no training sample is short enough.
    """
    encode = text_encoder(template, loaded)
    encoded = [[encode(text) for text in texts] for texts in (parts.train, parts.dev)]
    train, dev = ([item for item in part if item.length <= max_length] for part in encoded)
    too_long = sum(map(len, encoded)) - len(train) - len(dev)
    if not train:
        shortest = min(item.length for item in encoded[0])
        raise DataError(
            f"every training sample is longer than {max_length} tokens",
            where="--max-length",
            remedy=f"the shortest has {shortest}",
        )
    if too_long:
        say(f"{too_long} samples are longer than {max_length} tokens and left out")
    return Examples(train, dev, too_long)


def text_encoder(template: str | None, loaded: "LoadedModel") -> "Callable[[TrainingText], EncodedExample]":
    """How a sample becomes token ids for this model."""
    from finetune_cot.batches.encoding import encode, encode_choice

    render = chat_renderer(loaded.tokenizer)

    def encoded(text: TrainingText) -> "EncodedExample":
        if loaded.labels and text.labelled:
            return encode_choice(loaded.tokenizer, loaded.labels, text.labelled, text.task)
        pieces = text_segments(text, template, loaded.model_type, render)
        return encode(loaded.tokenizer, loaded.model_type, pieces, text.sample_index, text.task)

    return encoded


def training_settings(config: TrainingOptions, device: str, **own: Any) -> "TrainingSettings":
    """How a run is trained; the keywords are settings that not every command has options for."""
    from finetune_cot.training.settings import TrainingSettings

    return TrainingSettings(
        epochs=config.epochs,
        lr=config.lr,
        optimizer=config.optimizer,
        weight_decay=config.weight_decay,
        schedule=config.schedule,
        warmup=config.warmup,
        gradient_clip=config.gradient_clip,
        batch_size=config.batch_size,
        inference_batch_size=config.inference_batch_size,
        accumulate=config.accumulate,
        precision=config.precision,
        device=device,
        seed=config.seed + config.run,
        gradient_checkpointing=config.gradient_checkpointing,
        **own,
    )


def _resumed(model: Any, config: ModelOptions, folder: Path) -> Any:
    from finetune_cot.training.bottleneck import resume_bottleneck
    from finetune_cot.training.lora import resume_lora

    if config.method in BOTTLENECK_METHODS:
        return resume_bottleneck(model, bottleneck_of(config), where=folder, freeze_head=config.freeze_head)
    return resume_lora(model, rank=config.lora_rank, where=folder, freeze_head=config.freeze_head)
