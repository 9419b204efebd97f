"""Accuracy by epoch, of students whose completions were measured after several."""

from collections.abc import Iterable, Iterator

from finetune_cot.reporting.charts import Line, LineChart, Point
from finetune_cot.reporting.findings import Measurement
from finetune_cot.reporting.runs import Entry, run_number
from finetune_cot.reporting.tables import Table, percent, table


def epoch_accuracies(rows: Iterable[Entry]) -> Table:
    """Every run and epoch; files without an epoch hold the last one."""
    return table(
        "accuracy_by_epoch",
        ["model", "method", "training", "dataset", "run", "epoch", "n", "accuracy"],
        (
            [
                *(entry.naming.model, entry.naming.method, entry.naming.training, entry.dataset),
                *(run_number(item), "last" if item.id.epoch is None else str(item.id.epoch)),
                *(item.score.n, percent(item.score.accuracy, item.score.stderr)),
            ]
            for entry in rows
            for epochs in entry.epochs
            if len(epochs) > 1
            for item in epochs
        ),
        headings=["model", "method", "training", "data set", "run", "epoch", "n", "accuracy, %"],
    )


def epoch_charts(rows: Iterable[Entry]) -> Iterator[LineChart]:
    """For each data set, the accuracy of every run by epoch; files without an epoch are not drawn."""
    lines: dict[str, list[Line]] = {}
    sizes: dict[str, set[int]] = {}
    for entry in rows:
        for epochs in entry.epochs:
            points = [(item.id.epoch, item) for item in epochs if item.id.epoch is not None]
            if len(points) > 1:
                of = lines.setdefault(entry.dataset, [])
                label = f"{entry.naming.model}, {entry.naming.method} [{entry.naming.training}]"
                run = f", run {run_number(epochs[0])}" if len(entry.epochs) > 1 else ""
                of.append(Line(label + run, tuple(_point(*point) for point in points), len(of)))
                sizes.setdefault(entry.dataset, set()).update(item.score.n for _, item in points)
    for dataset, drawn in lines.items():
        told = " to ".join(map(str, sorted({min(sizes[dataset]), max(sizes[dataset])})))
        yield LineChart(
            name=f"accuracy_by_epoch_{dataset}",
            title=f"Accuracy by epoch: {dataset}",
            x_label=f"Epoch\nn = {told}; bars: one standard error",
            y_label="Accuracy (%)",
            lines=tuple(drawn),
            percent=True,
        )


def _point(epoch: int, item: Measurement) -> Point:
    return Point(epoch, 100 * item.score.accuracy, 100 * item.score.stderr)
