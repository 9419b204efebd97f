"""Estimates beside the truth: reads what lies under ``saved/results`` for the same subsets of tasks."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from finetune_cot.artifacts.files import read_json
from finetune_cot.artifacts.manifest import read_manifest
from finetune_cot.artifacts.results import ResultRow, read_results
from finetune_cot.errors import ArtifactError
from finetune_cot.estimation.agreement import TOO_FEW

ESTIMATES = "estimates.json"
MAIN_FILE = "results.csv"
COUNTED_SUBSETS = 100
"""Subsets that the speedup is told for."""

Subset = tuple[int, ...]
Read = Callable[[Path, Callable[[Path], Any]], Any]
"""Reads a file and keeps account of it; None where it is not there."""


@dataclass(frozen=True)
class Method:
    """An estimator, or a baseline."""

    name: str
    is_loss: bool
    """Whether it gives losses; otherwise values that only order subsets, the lower the better."""
    losses: Float[ndarray, "subsets tasks"]
    """Nats a token where they are losses."""


@dataclass(frozen=True)
class Costs:
    """Seconds of both ways to the losses of 100 subsets; None where nobody measured them."""

    fine_tuning: float | None
    meta_training: float | None
    gradients: float | None
    estimating: float | None

    @property
    def speedup(self) -> float | None:
        """How many times faster the estimate is, meta-training and gradient pass included."""
        parts = (self.meta_training, self.gradients, self.estimating)
        known = [part for part in parts if part is not None]
        if self.fine_tuning is None or len(known) < len(parts) or not sum(known):
            return None
        return self.fine_tuning / sum(known)


@dataclass(frozen=True)
class Repeats:
    """Subsets that were fine-tuned on again with other seeds; those used for calibration are among them."""

    held: Bool[ndarray, "subsets tasks"]
    """Whether a subset holds a task."""
    truth: Float[ndarray, "subsets tasks"]
    """Measured losses of run 0, nats a token."""
    runs: Float[ndarray, "runs subsets tasks"]
    """The same of further runs; NaN where there is none."""


@dataclass(frozen=True)
class Comparison:
    """Estimates and measured losses of the same subsets; those used for calibration are not among them."""

    name: str
    """Folder of the estimates under ``results``."""
    truth_name: str
    tasks: tuple[str, ...]
    held: Bool[ndarray, "subsets tasks"]
    """Whether a subset holds a task."""
    truth: Float[ndarray, "subsets tasks"]
    """Measured losses of run 0, nats a token."""
    repeats: Repeats | None
    """None where nothing was measured again."""
    methods: tuple[Method, ...]
    """The main one first."""
    calibration: int
    """Subsets that were used for calibration, and are left out."""
    costs: Costs


def read_comparison(folder: Path, read: Read, leave_out: Callable[[str], None]) -> Comparison | None:
    """What a folder of estimates holds, where there is a truth for its subsets.

    Args:
        folder: Folder with ``estimates.json``.
        read: Reads a file and keeps account of it; gives None where it cannot be read.
        leave_out: Called with a reason for each estimator that cannot be compared.

    Raises:
        ArtifactError: ``estimates.json`` is of another form, or nothing can be compared.
    """
    stated = _stated(read_json(folder / ESTIMATES), folder / ESTIMATES)
    truth_name = str(stated["truth_name"])
    results = folder.parent
    truth_rows = _by_subset(read(results / truth_name / "results.csv", read_results))
    if not truth_rows:
        return None
    estimated: dict[str, dict[Subset, ResultRow]] = {}
    for name, entry in stated["methods"].items():
        estimated[name] = _by_subset(read(folder / entry["file"], read_results))
    main, *_ = sorted(estimated, key=lambda name: stated["methods"][name]["file"] != MAIN_FILE)
    calibration = _calibration(stated)
    subsets = [subset for subset in truth_rows if subset in estimated[main] and subset not in calibration]
    if len(subsets) < TOO_FEW:
        raise ArtifactError(
            f"shares {len(subsets)} subsets with {truth_name} that were not used for calibration",
            where=folder / ESTIMATES,
            remedy="run `ftcot sample-truth` on the list of subsets that was estimated",
        )
    _drop_incomplete(estimated, subsets, leave_out)
    tasks = tuple(stated.get("tasks") or sorted({t for row in truth_rows.values() for t in row.loss_by_task}))
    held = _held(subsets, len(tasks), folder)
    measured = np.isfinite(_losses(truth_rows, subsets, tasks)).sum(axis=0) >= TOO_FEW
    held, tasks = held[:, measured], tuple(task for task, known in zip(tasks, measured, strict=True) if known)
    ordered = [main, *(name for name in estimated if name != main)]
    return Comparison(
        name=folder.name,
        truth_name=truth_name,
        tasks=tasks,
        held=held,
        truth=_losses(truth_rows, subsets, tasks),
        repeats=_repeats(results, truth_name, truth_rows, tasks, measured, read),
        methods=tuple(
            Method(
                name,
                bool(stated["methods"][name].get("is_loss", True)),
                _losses(estimated[name], subsets, tasks),
            )
            for name in ordered
        ),
        calibration=len(calibration & truth_rows.keys()),
        costs=_costs(folder, truth_name, truth_rows, stated.get("seconds"), len(estimated[main]), read),
    )


def _calibration(stated: Mapping[str, Any]) -> set[Subset]:
    """Subsets whose measured losses any of the methods was told."""
    return {
        tuple(sorted(subset))
        for entry in stated["methods"].values()
        for subset in entry.get("calibration_subsets") or []
    }


def _drop_incomplete(
    estimated: dict[str, dict[Subset, ResultRow]], subsets: Sequence[Subset], leave_out: Callable[[str], None]
) -> None:
    """Take out the methods that do not estimate every subset, and tell of them."""
    for name in list(estimated):
        missing = sum(subset not in estimated[name] for subset in subsets)
        if missing:
            leave_out(f"{name} has no estimate for {missing} of {len(subsets)} subsets")
            del estimated[name]


def _stated(values: Any, where: Path) -> Mapping[str, Any]:
    methods = values.get("methods") if isinstance(values, dict) else None
    if not isinstance(methods, dict) or not methods or "truth_name" not in values:
        raise ArtifactError("does not tell of methods and truth_name", where=where)
    for name, entry in methods.items():
        file = entry.get("file") if isinstance(entry, dict) else None
        if not isinstance(file, str) or Path(file).name != file:
            raise ArtifactError(f"names no file of {name!r} beside it", where=where)
    stated: Mapping[str, Any] = values
    return stated


def _by_subset(rows: Sequence[ResultRow] | None) -> dict[Subset, ResultRow]:
    """Rows by their subset; of several the last, and none whose mean is not a number."""
    return {tuple(sorted(row.task_indices)): row for row in rows or () if math.isfinite(row.loss)}


def _losses(
    rows: Mapping[Subset, ResultRow], subsets: Sequence[Subset], tasks: Sequence[str]
) -> Float[ndarray, "subsets tasks"]:
    """Losses by task; NaN where there is none."""
    return np.array(
        [
            [rows[s].loss_by_task.get(task, math.nan) if s in rows else math.nan for task in tasks]
            for s in subsets
        ]
    )


def _held(subsets: Sequence[Subset], tasks: int, folder: Path) -> Bool[ndarray, "subsets tasks"]:
    highest = max((task for subset in subsets for task in subset), default=-1)
    if highest >= tasks:
        raise ArtifactError(f"holds task {highest}, but there are losses of {tasks} tasks", where=folder)
    return np.array([[task in subset for task in range(tasks)] for subset in subsets])


def _repeats(
    results: Path,
    truth_name: str,
    truth: Mapping[Subset, ResultRow],
    tasks: Sequence[str],
    measured: Bool[ndarray, " every_task"],
    read: Read,
) -> Repeats | None:
    prefix = f"{truth_name}_run_"
    folders = sorted(folder for folder in results.iterdir() if folder.name.startswith(prefix))
    found = [
        _by_subset(read(folder / "results.csv", read_results))
        for folder in folders
        if folder.name.removeprefix(prefix).isdecimal()
    ]
    again = [subset for subset in truth if any(subset in run for run in found)]
    if not again:
        return None
    return Repeats(
        held=_held(again, len(measured), results / truth_name)[:, measured],
        truth=_losses(truth, again, tasks),
        runs=np.array([_losses(run, again, tasks) for run in found]),
    )


def _costs(
    folder: Path,
    truth_name: str,
    truth: Mapping[Subset, ResultRow],
    seconds: float | None,
    estimated: int,
    read: Read,
) -> Costs:
    saved = folder.parent.parent
    measured = [row.seconds for row in truth.values() if row.seconds is not None]
    run = folder.name.rpartition("_run_")[2].removesuffix("_pretrained")
    pass_manifest = saved / "gradients" / folder.name / "manifest.json"
    meta_manifest = saved / "checkpoints" / f"{truth_name}_run_{run}" / "manifest.json"
    return Costs(
        fine_tuning=COUNTED_SUBSETS * float(np.mean(measured)) if measured else None,
        meta_training=_seconds(meta_manifest, read),
        gradients=_seconds(pass_manifest, read),
        estimating=None if seconds is None else COUNTED_SUBSETS * float(seconds) / estimated,
    )


def _seconds(manifest: Path, read: Read) -> float | None:
    found = read(manifest, read_manifest)
    return None if found is None else float(found.seconds)
