"""Loggers beside the CSV files, each from a package that is imported only when it is asked for."""

import os
from pathlib import Path

from lightning.pytorch.loggers import Logger

from finetune_cot.errors import UsageError

PROJECT = "ftcot"


def make_logger(name: str, folder: Path) -> Logger:
    """A Lightning logger: ``tensorboard``, ``wandb`` or ``trackio``.

    Weights & Biases logs offline, into the folder, where no key is set.

    Args:
        name: Which one.
        folder: Checkpoint folder of the run, whose name is the run's.

    Raises:
        UsageError: its package is not installed.
    """
    try:
        if name == "tensorboard":
            from lightning.pytorch.loggers import TensorBoardLogger

            return TensorBoardLogger(folder, name="tensorboard", version="")
        if name == "wandb":
            from lightning.pytorch.loggers import WandbLogger

            offline = not (os.environ.get("WANDB_API_KEY") or (Path.home() / ".netrc").exists())
            return WandbLogger(name=folder.name, save_dir=folder, project=PROJECT, offline=offline)
        from finetune_cot.training.trackio_logger import TrackioLogger

        return TrackioLogger(PROJECT, folder.name)
    except ModuleNotFoundError:
        raise UsageError(
            f"{name} is not installed", where="--logger", remedy="run: pip install 'finetune-cot[logging]'"
        ) from None
