"""An ensemble's description: which adapters, of which groups of tasks, and how much each of them says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.files import read_json, write_json_atomic
from finetune_cot.artifacts.keys import check_key
from finetune_cot.errors import ArtifactError, FtcotError

ENSEMBLE = "ensemble.json"


@dataclass(frozen=True)
class Ensemble:
    """Adapters on one base model whose probabilities are averaged."""

    model_key: str
    """Key of the base model."""
    members: tuple[str, ...]
    """Folders of the adapters, beside the description."""
    groups: tuple[tuple[str, ...], ...]
    """Tasks that each member was trained on."""
    weights: tuple[float, ...]
    """Share of each member in a probability, whatever the task is; they add up to 1."""
    weights_by_task: Mapping[str, tuple[float, ...]]
    """The same for samples of one task."""


def is_ensemble(folder: Path) -> bool:
    """Whether a folder of weights holds an ensemble."""
    return (folder / ENSEMBLE).is_file()


def write_ensemble(folder: Path, ensemble: Ensemble) -> None:
    """Write the description into the folder of the adapters.

    Raises:
        ArtifactError: it cannot be written.
    """
    write_json_atomic(folder / ENSEMBLE, asdict(ensemble))


def read_ensemble(folder: Path) -> Ensemble:
    """Read the description in a folder.

    Raises:
        ArtifactError: it is missing, torn or of another form.
    """
    path = folder / ENSEMBLE
    values = read_json(path)
    try:
        return _ensemble(values)
    except (KeyError, TypeError, ValueError, AttributeError, FtcotError):
        raise ArtifactError(
            "describes no ensemble", where=path, remedy="`ftcot train --groups` writes it"
        ) from None


def _ensemble(values: Mapping[str, Any]) -> Ensemble:
    members = tuple(check_key(name) for name in values["members"])
    count = len(members)
    groups = tuple(tuple(str(task) for task in group) for group in values["groups"])
    if not count or len(groups) != count:
        raise ValueError
    return Ensemble(
        model_key=str(values["model_key"]),
        members=members,
        groups=groups,
        weights=_shares(values["weights"], count),
        weights_by_task={task: _shares(of, count) for task, of in values["weights_by_task"].items()},
    )


def _shares(values: Sequence[float], count: int) -> tuple[float, ...]:
    shares = tuple(float(value) for value in values)
    if len(shares) != count or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError
    return shares
