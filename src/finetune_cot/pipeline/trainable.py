"""What a training needs: a model with something trainable, samples as token ids, and the settings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from finetune_cot.config.training import ModelOptions, TrainingOptions
from finetune_cot.errors import DataError
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.train_data import Parts, chat_renderer, text_segments

if TYPE_CHECKING:
    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.models.loading import LoadedModel
    from finetune_cot.training.settings import TrainingSettings


@dataclass(frozen=True)
class Examples:
    """The samples of both parts, as token ids."""

    train: list["EncodedExample"]
    dev: list["EncodedExample"]
    too_long: int
    """Samples left out because they have too many tokens."""


def load_trainable(config: ModelOptions, device: str) -> tuple[Any, "LoadedModel"]:
    """The model with what is to be trained, and what was loaded with it.

    Raises:
        ModelError: the model or the adapter cannot be loaded.
        UsageError: the adapter's options do not fit the model.
    """
    from finetune_cot.models.finetuned import load_finetuned
    from finetune_cot.models.loading import load_model
    from finetune_cot.training.lora import add_lora, resume_lora

    if config.load_model_dir is not None:
        loaded = load_finetuned(
            config.load_model_dir,
            model_key=config.model_key,
            precision=config.precision,
            device=device,
            merged=config.method == "full",
        )
        if config.method == "lora":
            return resume_lora(loaded.model, rank=config.lora_rank, where=config.load_model_dir), loaded
    else:
        loaded = load_model(config.model_key, precision=config.precision, device=device)
    if config.method == "full":
        return loaded.model.requires_grad_(True), loaded
    adapted = add_lora(
        loaded.model,
        base_name=loaded.base_name,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        targets=config.lora_targets,
        seed=config.seed + config.run,
    )
    return adapted, loaded


def encode_parts(parts: Parts, template: str | None, max_length: int, loaded: "LoadedModel") -> Examples:
    """Tokenize the samples of both parts; longer ones than ``max_length`` tokens are left out.

    Raises:
        DataError: no training sample is short enough.
    """
    from finetune_cot.batches.encoding import encode

    render = chat_renderer(loaded.tokenizer)
    encoded = []
    for texts in (parts.train, parts.dev):
        segments = [text_segments(text, template, loaded.model_type, render) for text in texts]
        encoded.append(
            [
                encode(loaded.tokenizer, loaded.model_type, pieces, text.sample_index, text.task)
                for text, pieces in zip(texts, segments, strict=True)
            ]
        )
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


def training_settings(config: TrainingOptions, device: str, **own: Any) -> "TrainingSettings":
    """How a run is trained; the keywords are settings that not every command has options for."""
    from finetune_cot.training.settings import TrainingSettings

    return TrainingSettings(
        epochs=config.epochs,
        lr=config.lr,
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
