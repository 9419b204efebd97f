"""Charts of estimate versus truth: scatter by task, scores of the random ensemble, error by distance."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from finetune_cot.estimation.agreement import STRATA
from finetune_cot.reporting.agreement import Agreements
from finetune_cot.reporting.charts import (
    Chart,
    Cloud,
    Line,
    LineChart,
    Panel,
    Point,
    ScatterChart,
    ScoreChart,
    ScoreRow,
)
from finetune_cot.reporting.findings import Approximation

MAX_PANELS = 12
"""Panels of a scatter chart; of more tasks those whose losses spread most are drawn."""
MAX_SCORES = 60
"""Tasks of a chart of scores."""


def agreement_charts(found: Agreements) -> Iterator[Chart]:
    """Charts of the main estimator."""
    yield scatter(found)
    if len(found.comparison.tasks) <= MAX_SCORES:
        yield ensemble(found)


def scatter(found: Agreements) -> ScatterChart:
    """The mean loss, then every task: measured against estimated, subsets that hold the task apart."""
    comparison, main = found.comparison, found.comparison.methods[0]
    truth, held = comparison.truth, comparison.held
    drawn = drawn_tasks(found)
    whole = np.ones(len(truth), dtype=bool)
    panels = [
        Panel(
            "mean loss",
            _rho(found.main.mean_loss.spearman),
            (_cloud("", 2, main.losses.mean(axis=1), truth.mean(axis=1), whole),),
        )
    ]
    for task in drawn:
        estimate, measured = main.losses[:, task], truth[:, task]
        clouds = (
            _cloud("subset holds the task", 1, estimate, measured, held[:, task]),
            _cloud("subset does not", 0, estimate, measured, ~held[:, task]),
        )
        rho = found.main.by_stratum[STRATA[0]].by_task[task]
        panels.append(Panel(comparison.tasks[task], _rho(rho), tuple(cloud for cloud in clouds if cloud.xs)))
    return ScatterChart(
        name=f"agreement_{comparison.name}",
        title=f"Estimate versus truth: {comparison.name}",
        x_label=f"{main.name}: {'estimated loss (nats a token)' if main.is_loss else 'score'}",
        y_label="Measured loss (nats a token)",
        panels=tuple(panels),
        identity=main.is_loss,
    )


def drawn_tasks(found: Agreements) -> list[int]:
    """The tasks that have a panel: those whose losses spread most."""
    spread = np.nanstd(found.comparison.truth, axis=0)
    return sorted(np.argsort(-spread, kind="stable")[: MAX_PANELS - 1].tolist())


def ensemble(found: Agreements) -> ScoreChart:
    """Each task's score in the random ensemble, by estimates and by the truth, relative to their means."""
    comparison = found.comparison
    main = comparison.methods[0]
    estimated = _ensemble_scores(main.losses.mean(axis=1), comparison.held)
    measured = _ensemble_scores(comparison.truth.mean(axis=1), comparison.held)
    if not main.is_loss and np.nanstd(estimated) > 0:
        estimated = estimated * np.nanstd(measured) / np.nanstd(estimated)
    order = np.argsort(measured, kind="stable")
    scaled = "" if main.is_loss else ", scaled to the truth's spread"
    return ScoreChart(
        name=f"ensemble_scores_{comparison.name}",
        title=f"Random ensemble: {comparison.name}",
        x_label="Mean loss over the subsets with a task, minus that over all (nats a token); left is better",
        series=(f"{main.name}{scaled}", "truth"),
        rows=tuple(
            ScoreRow(comparison.tasks[task], (_known(estimated[task]), _known(measured[task])))
            for task in order.tolist()
        ),
    )


def approximation_charts(every: Sequence[Approximation]) -> Iterator[LineChart]:
    """Error by distance, with the gradient term and without; bars are standard deviations over seeds."""
    for item in every:
        yield LineChart(
            name=f"approximation_error_{item.name}",
            title=f"First-order approximation: {item.name}",
            x_label="Distance from the point of expansion, % of the weights' norm\n"
            + ("" if item.samples is None else f"{item.samples} samples, ")
            + f"seeds: {len(item.with_gradient[0])}; bars: their standard deviation",
            y_label="Relative squared error of the margin (%)",
            lines=(
                _error_line("without the gradient term", 0, item.distances, item.without_gradient),
                _error_line("with the gradient term", 1, item.distances, item.with_gradient),
            ),
            percent=False,
            log=True,
        )


def _rho(spearman: float | None) -> str:
    return "" if spearman is None else "\u03c1 = " + f"{spearman:.2f}".replace("-", "\u2212")


def _cloud(
    label: str,
    colour: int,
    xs: Float[ndarray, " subsets"],
    ys: Float[ndarray, " subsets"],
    chosen: Bool[ndarray, " subsets"],
) -> Cloud:
    known = chosen & np.isfinite(xs) & np.isfinite(ys)
    return Cloud(label, tuple(xs[known].tolist()), tuple(ys[known].tolist()), colour)


def _ensemble_scores(
    losses: Float[ndarray, " subsets"], held: Bool[ndarray, "subsets tasks"]
) -> Float[ndarray, " tasks"]:
    """Mean over the subsets that hold a task, minus the mean over all; NaN for a task that none holds."""
    known = np.isfinite(losses)
    held, losses = held[known], losses[known]
    count = held.sum(axis=0)
    scores: Float[ndarray, " tasks"] = np.divide(
        held.T.astype(float) @ losses, count, out=np.full(held.shape[1], np.nan), where=count > 0
    )
    scores -= losses.mean()
    return scores


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _error_line(
    label: str, colour: int, distances: Sequence[float], errors: Sequence[Sequence[float]]
) -> Line:
    means = [100 * float(np.mean(seeds)) for seeds in errors]
    spreads = [100 * float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None for seeds in errors]
    places = [100 * distance for distance in distances]
    return Line(label, tuple(map(Point, places, means, spreads)), colour)
