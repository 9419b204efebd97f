"""Training logs: the losses of each epoch, as `train` writes them into ``epochs.csv``."""

import csv
from collections.abc import Mapping
from pathlib import Path

from finetune_cot.artifacts.files import read_json
from finetune_cot.artifacts.ids import parse_checkpoint_path
from finetune_cot.errors import ArtifactError
from finetune_cot.reporting.findings import TrainingRun
from finetune_cot.training.settings import EpochLosses

_COLUMNS = ["epoch", "step", "train_loss", "dev_loss"]
_TASK_COLUMN = "dev_loss_"
_OUTCOME = "outcome.json"


def read_training_run(log: Path) -> TrainingRun:
    """Read the log of a training run; its name and number are those of its folder.

    Raises:
        ArtifactError: the folder is not named as a checkpoint, no epoch is done, or a file is torn; names it.
    """
    name, counts = parse_checkpoint_path(log.parent), _counts(log.with_name(_OUTCOME))
    with log.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, restval=None)
        if list(reader.fieldnames or [])[:4] != _COLUMNS:
            raise ArtifactError(f"does not begin with the columns {', '.join(_COLUMNS)}", where=log)
        epochs = tuple(_epoch(row, f"{log}, line {reader.line_num}") for row in reader)
    if not epochs:
        raise ArtifactError("no epoch is done yet", where=log)
    return TrainingRun(name.save_name, name.run, epochs, *counts)


def _counts(outcome: Path) -> tuple[int | None, int | None]:
    """Training and dev samples; none of a training that is not done."""
    values = read_json(outcome) if outcome.exists() else {}
    found = (values.get(name) if isinstance(values, dict) else None for name in ("samples", "dev_samples"))
    samples, dev_samples = (count if isinstance(count, int) else None for count in found)
    return samples, dev_samples


def _epoch(row: Mapping[str | None, str | None], where: str) -> EpochLosses:
    if None in row or None in row.values():
        raise ArtifactError("is torn: it has another number of columns", where=where)
    values = {str(column): str(value) for column, value in row.items()}
    try:
        return EpochLosses(
            epoch=int(values["epoch"]),
            step=int(values["step"]),
            train_loss=float(values["train_loss"]),
            dev_loss=float(values["dev_loss"]) if values["dev_loss"] else None,
            dev_loss_by_task={
                column.removeprefix(_TASK_COLUMN): float(value)
                for column, value in values.items()
                if column.startswith(_TASK_COLUMN) and value
            },
        )
    except ValueError:
        raise ArtifactError("is no row of losses", where=where) from None
