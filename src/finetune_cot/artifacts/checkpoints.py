"""What lies where in a checkpoint's folder: the last state, the best weights, and those of each epoch."""

from pathlib import Path

from finetune_cot.artifacts.files import did_you_mean
from finetune_cot.errors import ArtifactError, ModelError

LAST, BEST, EPOCHS = "last", "best", "epochs"
STEP_LOG = "steps.csv"
EPOCH_LOG = "epochs.csv"


def epoch_folder(checkpoint: Path, epoch: int) -> Path:
    """Where the weights after an epoch, counted from 1, are kept."""
    return checkpoint / EPOCHS / f"epoch_{epoch:03d}"


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one that `train` wrote."""
    return (folder / LAST).is_dir()


def require_finetuned(folder: Path) -> None:
    """Make sure that there is a folder at all where a fine-tuned model is to be.

    Raises:
        ModelError: there is none.
    """
    if not folder.is_dir():
        remedy = f"{did_you_mean(folder)}check --load-model-dir"
        raise ModelError("no fine-tuned model is there", where=folder, remedy=remedy)


def weights_folder(checkpoint: Path, epoch: int | None = None) -> Path:
    """The folder of a checkpoint with the weights after an epoch, by default the last one.

    Raises:
        ArtifactError: they were not kept.
    """
    folder = checkpoint / LAST if epoch is None else epoch_folder(checkpoint, epoch)
    if folder.is_dir():
        return folder
    kept = sorted(path.name for path in (checkpoint / EPOCHS).glob("epoch_*"))
    raise ArtifactError(
        "no such weights were kept",
        where=folder,
        remedy=f"kept are: {', '.join(kept)}"
        if kept
        else "train with --keep-epochs to keep those of each epoch",
    )
