"""Tables of estimate versus truth: how well estimators agree, what the truth itself allows, what it costs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from finetune_cot.estimation.agreement import STRATA, Agreement, agreement, strata
from finetune_cot.reporting.comparisons import COUNTED_SUBSETS, Comparison, Repeats
from finetune_cot.reporting.findings import Approximation
from finetune_cot.reporting.tables import Cell, Table, Value, percent, table

ALL, HOLDING, NOT_HOLDING = STRATA
OTHER_SEED, CONSTANT = "the truth with another seed", "the mean of the truths"
"""What the truth itself would score, and an oracle that tells no subset from another."""


@dataclass(frozen=True)
class Scored:
    """An estimator and its agreement with the truth."""

    name: str
    is_loss: bool
    by_stratum: Mapping[str, Agreement]
    mean_loss: Agreement
    """For the loss averaged over all tasks as the only target."""


@dataclass(frozen=True)
class NoiseFloor:
    """What fine-tuning the same subset with another seed changes."""

    runs: int
    """Further runs."""
    subsets: int
    """Subsets that have any of them, also those used for calibration."""
    std: float
    """Standard deviation of a loss between seeds, nats a token, root mean square over subsets and tasks."""
    scored: Scored
    """Agreement of the further runs with run 0, averaged over them."""


@dataclass(frozen=True)
class Agreements:
    """Everything that is told of a comparison."""

    comparison: Comparison
    methods: tuple[Scored, ...]
    """The main estimator first."""
    constant: Scored
    noise_floor: NoiseFloor | None
    spread: float
    """Standard deviation of the truth over subsets, nats a token, mean over the tasks."""

    @property
    def main(self) -> Scored:
        """The main estimator."""
        return self.methods[0]


def agreements(comparison: Comparison) -> Agreements:
    """Compare every estimator with the truth."""
    means = np.broadcast_to(np.nanmean(comparison.truth, axis=0), comparison.truth.shape)
    return Agreements(
        comparison=comparison,
        methods=tuple(
            _scored(item.name, item.is_loss, item.losses, comparison) for item in comparison.methods
        ),
        constant=_scored(CONSTANT, True, means, comparison),
        noise_floor=_noise_floor(comparison.repeats),
        spread=float(np.nanmean(np.nanstd(comparison.truth, axis=0, ddof=1))),
    )


def overview(found: Agreements) -> Table:
    """Every estimator on the same subsets; the best correlations are strong."""
    lines = [*found.methods, *_yardsticks(found)]
    best = {name: _best(found.methods, name) for name in STRATA}
    return table(
        f"agreement_{found.comparison.name}",
        ["estimator", *STRATA, "mean_loss", "pearson", "relative_error_mean", "relative_error_max"],
        (
            [
                _told(line, found),
                *(_correlation(line, line.by_stratum[name], line in best[name]) for name in STRATA),
                _correlation(line, line.mean_loss, False),
                _number(line.by_stratum[ALL].pearson if line.name != CONSTANT else None),
                _share(line.by_stratum[ALL].relative_error_mean),
                _share(line.by_stratum[ALL].relative_error_max),
            ]
            for line in lines
        ),
        headings=[
            "estimator",
            "all subsets",
            "holding the target",
            "not holding it",
            "mean loss",
            "Pearson",
            "error, %",
            "largest error, %",
        ],
        notes=_overview_notes(found),
    )


def detail(found: Agreements) -> Table:
    """Every measure of every estimator, over all subsets and within the two kinds."""
    return table(
        f"agreement_detail_{found.comparison.name}",
        [
            *("estimator", "subsets", "subsets_of_a_target", "spearman", "spearman_low", "spearman_high"),
            *("pearson", "relative_error_mean", "relative_error_max"),
        ],
        (
            [line.name, stratum, *_measures(line, line.by_stratum[stratum])]
            for line in (*found.methods, *_yardsticks(found))
            for stratum in STRATA
        ),
    )


def by_task(found: Agreements) -> Table:
    """Every target task: the truth, its spread and noise, and the main estimator's order of the subsets."""
    comparison, main = found.comparison, found.main
    noise = _noise_by_task(comparison.repeats) if comparison.repeats else [None] * len(comparison.tasks)
    rows = []
    for place, task in enumerate(comparison.tasks):
        truth = comparison.truth[:, place]
        rows.append(
            [
                *(task, float(np.nanmean(truth)), float(np.nanmin(truth)), float(np.nanmax(truth))),
                *(float(np.nanstd(truth, ddof=1)), noise[place]),
                *(_number(main.by_stratum[name].by_task[place]) for name in STRATA),
            ]
        )
    return table(
        f"agreement_by_task_{comparison.name}",
        ["task", "mean", "lowest", "highest", "spread", "noise", *STRATA],
        rows,
        notes=[
            "Measured losses in nats a token over the subsets; spread: their standard deviation;"
            " noise: the standard deviation between seeds.",
            f"The last columns: Spearman's correlation of {main.name}.",
        ],
    )


def speed(every: Iterable[Agreements]) -> Table:
    """What both ways cost for as many subsets as one would look at."""
    columns = ["estimates", "fine_tuning", "meta_training", "gradients", "estimating", "speedup"]
    rows = []
    for found in every:
        costs = found.comparison.costs
        parts = (costs.fine_tuning, costs.meta_training, costs.gradients, costs.estimating)
        speedup = None if costs.speedup is None else Cell(costs.speedup, f"{costs.speedup:.1f} x")
        rows.append([found.comparison.name, *map(_seconds, parts), speedup])
    return table(
        "speedup",
        columns,
        rows,
        notes=[
            f"Seconds for {COUNTED_SUBSETS} subsets; fine-tuning and estimating are scaled to so many.",
            "Speedup: fine-tuning over the sum of meta-training, gradient pass and estimating.",
        ],
    )


def approximation_table(every: Iterable[Approximation]) -> Table:
    """The error of the first-order approximation by distance, with the gradient term and without."""
    return table(
        "approximation_error",
        [
            *("gradients", "samples", "distance", "seeds"),
            *("with_gradient", "std", "without_gradient", "std_without"),
        ],
        (
            [
                item.name,
                item.samples,
                percent(distance),
                len(with_gradient),
                *(_small(value) for value in _mean_std(with_gradient)),
                *(_small(value) for value in _mean_std(without)),
            ]
            for item in every
            for distance, with_gradient, without in zip(
                item.distances, item.with_gradient, item.without_gradient, strict=True
            )
        ),
        headings=[
            *("gradients", "samples", "distance, %", "seeds"),
            *("with gradient, %", "±", "without gradient, %", "±"),
        ],
        notes=[
            "Distance: relative to the norm of the weights.",
            "Error: mean over samples of the squared error of the margin, relative to the margin;"
            " ±: standard deviation over seeds.",
        ],
    )


def _scored(
    name: str,
    is_loss: bool,
    estimate: Float[ndarray, "subsets tasks"],
    of: Comparison | Repeats,
) -> Scored:
    """Agreement of an estimate with the truth of a comparison, or of its repeated subsets."""
    mean = estimate.mean(axis=1, keepdims=True), of.truth.mean(axis=1, keepdims=True)
    return Scored(
        name=name,
        is_loss=is_loss,
        by_stratum={
            stratum: agreement(estimate, of.truth, chosen, is_loss)
            for stratum, chosen in strata(of.held).items()
        },
        mean_loss=agreement(*mean, np.ones_like(mean[0], dtype=bool), is_loss),
    )


def _noise_floor(repeats: Repeats | None) -> NoiseFloor | None:
    if repeats is None:
        return None
    runs = [_scored(OTHER_SEED, True, run, repeats) for run in repeats.runs]
    noise = [value for value in _noise_by_task(repeats) if value is not None]
    return NoiseFloor(
        runs=len(runs),
        subsets=len(repeats.truth),
        std=float(np.sqrt(np.mean(np.square(noise)))),
        scored=Scored(
            name=OTHER_SEED,
            is_loss=True,
            by_stratum={name: _average([run.by_stratum[name] for run in runs]) for name in STRATA},
            mean_loss=_average([run.mean_loss for run in runs]),
        ),
    )


def _noise_by_task(repeats: Repeats) -> list[float | None]:
    """Standard deviation between seeds, root mean square over the subsets that were repeated."""
    every = np.concatenate([repeats.truth[None], repeats.runs])
    count = np.isfinite(every).sum(axis=0)
    variance = np.nanvar(np.where(count > 1, every, 0), axis=0, ddof=1)
    repeated = (count > 1).sum(axis=0)
    total = np.where(count > 1, variance, 0).sum(axis=0)
    return [
        float(np.sqrt(total[task] / repeated[task])) if repeated[task] else None
        for task in range(every.shape[2])
    ]


def _average(runs: Sequence[Agreement]) -> Agreement:
    """Mean of what the runs have; the interval would need more than a few of them."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    return Agreement(
        subsets=float(np.mean([run.subsets for run in runs])),
        spearman=mean(run.spearman for run in runs),
        interval=None,
        by_task=tuple(map(mean, zip(*(run.by_task for run in runs), strict=True))),
        pearson=mean(run.pearson for run in runs),
        relative_error_mean=mean(run.relative_error_mean for run in runs),
        relative_error_max=max(
            (run.relative_error_max for run in runs if run.relative_error_max is not None), default=None
        ),
    )


def _yardsticks(found: Agreements) -> Iterator[Scored]:
    if found.noise_floor is not None:
        yield found.noise_floor.scored
    yield found.constant


def _told(line: Scored, found: Agreements) -> str:
    """An estimator's name; with the number of subsets where it is another one."""
    noise = found.noise_floor
    return f"{line.name} ({noise.subsets} subsets)" if noise and line is noise.scored else line.name


def _best(lines: Sequence[Scored], stratum: str) -> list[Scored]:
    """The highest correlation of several."""
    known = [line for line in lines if line.by_stratum[stratum].spearman is not None]
    if len(known) < 2:
        return []
    return [max(known, key=lambda line: line.by_stratum[stratum].spearman or 0.0)]


def _correlation(line: Scored, of: Agreement, strong: bool) -> Cell | None:
    if of.spearman is None or line.name == CONSTANT:
        return None
    interval = "" if of.interval is None else f" [{of.interval[0]:.2f}, {of.interval[1]:.2f}]"
    return Cell(of.spearman, f"{of.spearman:.2f}{interval}", strong)


def _measures(line: Scored, of: Agreement) -> list[Cell | Value]:
    constant = line.name == CONSTANT
    low, high = of.interval or (None, None)
    correlations = [None] * 4 if constant else [of.spearman, low, high, of.pearson]
    return [of.subsets, *correlations, of.relative_error_mean, of.relative_error_max]


def _overview_notes(found: Agreements) -> Iterator[str]:
    comparison, sizes = found.comparison, {name: found.main.by_stratum[name].subsets for name in STRATA}
    yield (
        f"{len(comparison.truth)} subsets of {len(comparison.tasks)} tasks, measured in"
        f" {comparison.truth_name}; of a target task {sizes[HOLDING]:.3g} hold it and"
        f" {sizes[NOT_HOLDING]:.3g} do not."
    )
    yield "Spearman's correlation over subsets, mean over the target tasks, with a 95 % bootstrap interval."
    yield "Errors of losses are relative to the truth; estimators that only order subsets have none."
    if comparison.calibration:
        yield f"{comparison.calibration} further subsets were used for calibration, and are not scored."
    spread = f"Over the subsets a loss spreads by {found.spread:.3g} nats a token (standard deviation)"
    noise = found.noise_floor
    if noise is None:
        yield f"{spread}; how much another seed would change it was not measured."
    else:
        yield (
            f"{spread}; another seed changes it by {noise.std:.3g}"
            f" ({noise.subsets} subsets, {noise.runs} further {'run' if noise.runs == 1 else 'runs'})."
        )


def _number(value: float | None) -> Cell | None:
    return None if value is None else Cell(value, f"{value:.2f}")


def _share(value: float | None) -> Cell | None:
    return None if value is None else percent(value)


def _small(share: float | None) -> Cell | None:
    """A percentage that may be far below one."""
    return None if share is None else Cell(share, f"{100 * share:.3g}")


def _seconds(value: float | None) -> Cell | None:
    return None if value is None else Cell(value, f"{value:.3g}" if value < 100 else f"{value:.0f}")


def _mean_std(values: Sequence[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
