"""The dev set that a checkpoint was measured on, read again, and the loss of another form of it."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune_cot.artifacts.manifest import read_manifest
from finetune_cot.config.options import build
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import FtcotError
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.task_subsets import trained_tasks
from finetune_cot.pipeline.train_data import Parts, divide, in_task_groups, read_training_data, texts_digest
from finetune_cot.pipeline.trainable import encode_parts

if TYPE_CHECKING:
    from finetune_cot.batches.encoding import EncodedExample
    from finetune_cot.models.loading import LoadedModel

SAMPLES, BATCH_SIZE = 64, 8
"""Dev samples that are measured at most, and those of a batch."""


def recorded_dev_set(checkpoint: Path, loaded: "LoadedModel") -> list["EncodedExample"]:
    """The first dev samples of a checkpoint's training; none, with a word why, where they are not there now.

    Args:
        checkpoint: Folder that `train` wrote.
        loaded: The model, for its tokenizer.
    """
    manifest = checkpoint / "manifest.json"
    if not manifest.is_file():
        return []
    try:
        recorded = read_manifest(manifest)
        parts, template, max_length = _dev_part(recorded.config)
        if recorded.inputs.get("dev samples") != texts_digest(parts.dev, template):
            say("the data are others than those of the training: no dev loss is measured")
            return []
        first = Parts(parts.dev[:SAMPLES], parts.dev[:SAMPLES], parts.task_indices)
        return encode_parts(first, template, max_length, loaded).dev if parts.dev else []
    except FtcotError as error:
        say(f"the dev set of the training is not there, and no loss of it is measured: {error}")
        return []


def mean_loss(model: Any, pad_token_id: int, examples: list["EncodedExample"]) -> float:
    """Mean over samples of the mean loss over their label tokens, in nats."""
    from finetune_cot.batches.collation import SortedBatches
    from finetune_cot.training.loss import mean_sample_losses

    batches = SortedBatches(examples, BATCH_SIZE, pad_token_id)
    return statistics.fmean(loss for batch in batches for loss in mean_sample_losses(model, batch).tolist())


def _dev_part(recorded: Mapping[str, Any]) -> tuple[Parts, str | None, int]:
    config = build(TrainConfig, recorded)
    data = in_task_groups(read_training_data(config), config.task_groups)
    parts = divide(data, config, trained_tasks(config, len(data.tasks)), config.dev_tasks)
    return parts, data.template, config.max_length
