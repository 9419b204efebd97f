"""Losses of training runs: tables and charts by epoch and task."""

import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from finetune_cot.reporting.charts import Change, ChangeChart, Chart, Line, LineChart, Point
from finetune_cot.reporting.findings import SubsetResults, TrainingRun
from finetune_cot.reporting.tables import Table, table
from finetune_cot.training.settings import EpochLosses

MAX_TASK_LINES = 8
"""More tasks than colours are shown before and after, not as lines."""
_LOSS = "Loss (nats a token)"


def training_table(runs: Iterable[TrainingRun]) -> Table:
    """Every training run: how long it was, its last and its best dev loss."""
    columns = ["name", "run", "samples", "dev_samples", "epochs", "steps", "train_loss", "dev_loss"]
    return table(
        "training",
        [*columns, "best_dev_loss", "best_epoch"],
        map(_training_row, runs),
        notes=[
            "Losses in nats a token, as means over the samples;"
            " nan: the loss was no number, so the training diverged."
        ],
    )


def epoch_table(runs: Iterable[TrainingRun]) -> Table:
    """Losses of every run and epoch."""
    return table(
        "losses_by_epoch",
        ["name", "run", "epoch", "step", "train_loss", "dev_loss"],
        (
            [run.save_name, run.run, epoch.epoch, epoch.step, epoch.train_loss, epoch.dev_loss]
            for run in runs
            for epoch in run.epochs
        ),
    )


def task_table(runs: Iterable[TrainingRun]) -> Table:
    """Dev losses of every run, epoch and task."""
    return table(
        "dev_losses_by_task",
        ["name", "run", "epoch", "task", "dev_loss"],
        (
            [run.save_name, run.run, epoch.epoch, task, loss]
            for run in runs
            for epoch in run.epochs
            for task, loss in epoch.dev_loss_by_task.items()
        ),
    )


def results_table(results: Iterable[SubsetResults], runs: Iterable[TrainingRun]) -> Table:
    """Every row of every ``results.csv``; losses by task are in those files.

    Args:
        results: Losses by subset.
        runs: Trainings of the same names, which tell how many dev samples there are.
    """
    counts = {run.save_name: run.dev_samples for run in runs}
    return table(
        "results",
        ["name", "task_indices", "dev_samples", "loss"],
        (
            [item.name, " ".join(map(str, row.task_indices)), _dev_samples(item.name, counts), row.loss]
            for item in results
            for row in item.rows
        ),
        notes=["Mean of the tasks' losses on their dev samples, nats a token."],
    )


def loss_charts(runs: Sequence[TrainingRun]) -> Iterator[Chart]:
    """Train and dev loss of the runs of one name by epoch, and dev loss by task where there are several."""
    name = runs[0].save_name
    yield LineChart(
        name=f"loss_{name}",
        title=f"Loss: {name}",
        x_label=f"Epoch{_sizes(runs)}",
        y_label=_LOSS,
        lines=tuple(
            line for colour, run in enumerate(runs) for line in _run_lines(run, colour, len(runs) > 1)
        ),
        percent=False,
    )
    by_task = _task_means(runs)
    if len(by_task) > MAX_TASK_LINES:
        yield _task_changes(runs, by_task)
    elif len(by_task) > 1:
        yield LineChart(
            name=f"dev_loss_by_task_{name}",
            title=f"Dev loss by task{_mean_of(runs)}: {name}",
            x_label=f"Epoch{_sizes(runs)}",
            y_label=_LOSS,
            lines=tuple(Line(task, points, colour) for colour, (task, points) in enumerate(by_task.items())),
            percent=False,
        )


def _dev_samples(name: str, counts: Mapping[str, int | None]) -> int | None:
    """Those of the training that a table of losses is named after."""
    return counts.get(re.sub(r"(_dim_\d+)?(_run_\d+)?(_pretrained)?$", "", name, flags=re.ASCII))


def _training_row(run: TrainingRun) -> list[str | int | float | None]:
    last = run.epochs[-1]
    measured = (epoch for epoch in run.epochs if epoch.dev_loss is not None and math.isfinite(epoch.dev_loss))
    best = min(measured, key=_dev_loss, default=None)
    return [
        *(run.save_name, run.run, run.samples, run.dev_samples),
        *(last.epoch, last.step, last.train_loss, last.dev_loss),
        *((None, None) if best is None else (best.dev_loss, best.epoch)),
    ]


def _dev_loss(epoch: EpochLosses) -> float:
    return float("inf") if epoch.dev_loss is None else epoch.dev_loss


def _run_lines(run: TrainingRun, colour: int, several: bool) -> Iterator[Line]:
    suffix = f", run {run.run}" if several else ""
    train = ((epoch.epoch, epoch.train_loss) for epoch in run.epochs)
    dev = ((epoch.epoch, epoch.dev_loss) for epoch in run.epochs if epoch.dev_loss is not None)
    for kind, losses, dashed in (("train", train, True), ("dev", dev, False)):
        points = tuple(Point(epoch, loss) for epoch, loss in losses if math.isfinite(loss))
        if points:
            yield Line(f"{kind}{suffix}", points, colour, dashed=dashed)


def _task_means(runs: Sequence[TrainingRun]) -> dict[str, tuple[Point, ...]]:
    """Dev loss of each task by epoch, the mean over the runs that came so far."""
    losses: dict[str, dict[int, list[float]]] = {}
    for run in runs:
        for epoch in run.epochs:
            for task, loss in epoch.dev_loss_by_task.items():
                if math.isfinite(loss):
                    losses.setdefault(task, {}).setdefault(epoch.epoch, []).append(loss)
    return {
        task: tuple(Point(epoch, statistics.fmean(values)) for epoch, values in sorted(by_epoch.items()))
        for task, by_epoch in sorted(losses.items())
    }


def _task_changes(runs: Sequence[TrainingRun], by_task: dict[str, tuple[Point, ...]]) -> ChangeChart:
    name = runs[0].save_name
    first = min(points[0].x for points in by_task.values())
    last = max(points[-1].x for points in by_task.values())
    changes = [Change(task, points[0].y, points[-1].y) for task, points in by_task.items()]
    return ChangeChart(
        name=f"dev_loss_by_task_{name}",
        title=f"Dev loss by task{_mean_of(runs)}: {name}",
        x_label=f"{_LOSS}{_sizes(runs)}",
        first_label=f"after epoch {first:g}",
        last_label=f"after epoch {last:g}",
        changes=tuple(sorted(changes, key=lambda change: change.last)),
    )


def _sizes(runs: Sequence[TrainingRun]) -> str:
    """A line with the numbers of samples, where they are known."""
    told = [
        " to ".join(map(str, sorted({min(counts), max(counts)}))) + f" {kind} samples"
        for kind, counts in (
            ("training", [run.samples for run in runs if run.samples is not None]),
            ("dev", [run.dev_samples for run in runs if run.dev_samples]),
        )
        if counts
    ]
    return f"\n{', '.join(told)}" if told else ""


def _mean_of(runs: Sequence[TrainingRun]) -> str:
    return f" (mean of {len(runs)} runs)" if len(runs) > 1 else ""
