"""What `report` gives beside the folder that it writes: accuracies, and estimates beside the truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_cot.reporting.agreement import ALL, HOLDING, NOT_HOLDING, Agreements, Scored
from finetune_cot.reporting.findings import Findings, LeftOut
from finetune_cot.reporting.runs import entries


@dataclass(frozen=True)
class AccuracyRow:
    """The accuracy of one model by one method on one data set."""

    model: str
    method: str
    training: str
    dataset: str
    part: str
    """Part of the data set: train, test or all."""
    n: int
    """Questions."""
    accuracy: float
    """Mean over the runs, 0 to 1."""
    error: float
    """Standard error of a single run, standard deviation of several."""
    runs: int


@dataclass(frozen=True)
class Correlations:
    """Agreement with the truth over all subsets, and Spearman's correlation within two kinds of them."""

    spearman: float | None
    spearman_holding: float | None
    """Within the subsets that hold the target task."""
    spearman_not_holding: float | None
    spearman_mean_loss: float | None
    """For the loss averaged over the tasks."""
    pearson: float | None
    relative_error_mean: float | None
    """0.01 is one percent; None for scores that are no losses."""
    relative_error_max: float | None


@dataclass(frozen=True)
class NoiseOfTruth:
    """What another seed changes, and how well the truth agrees with itself."""

    std: float
    """Standard deviation between seeds, nats a token."""
    spread: float
    """Standard deviation of the truth over subsets, nats a token."""
    subsets: int
    runs: int
    agreement: Correlations


@dataclass(frozen=True)
class EstimateVersusTruth:
    """One set of estimates beside its truth."""

    name: str
    truth: str
    estimator: str
    subsets: int
    """Subsets that are scored: those used for calibration are not."""
    agreement: Correlations
    interval: tuple[float, float] | None
    """95 % of Spearman's correlation over all subsets."""
    baselines: dict[str, Correlations]
    noise_floor: NoiseOfTruth | None
    speedup: float | None


@dataclass(frozen=True)
class ReportResult:
    """Where the report lies, and the accuracies in it."""

    path: Path
    report_md: Path
    tables: list[Path]
    figures: list[Path]
    page: Path | None = None
    """The HTML page; None with ``--no-page``."""
    next_command: str | None = None
    """What makes the first of what the report lacks; None where it lacks nothing."""
    spearman: float | None = None
    """Of the main estimator over all subsets, mean over the target tasks; of the first of ``comparisons``."""
    pearson: float | None = None
    relative_error_mean: float | None = None
    relative_error_max: float | None = None
    baselines: dict[str, Correlations] = field(default_factory=dict)
    """The other estimators on the same subsets, by name."""
    noise_floor: NoiseOfTruth | None = None
    """None where no subset was fine-tuned with another seed."""
    speedup: float | None = None
    """Over fine-tuning on 100 subsets, meta-training and gradient pass included."""
    comparisons: list[EstimateVersusTruth] = field(default_factory=list)
    """Every set of estimates for which there is a truth, the one with the most subsets first."""
    accuracy: list[AccuracyRow] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def accuracy_rows(findings: Findings) -> list[AccuracyRow]:
    """Accuracies of the part that was asked for."""
    return [
        AccuracyRow(
            model=entry.naming.model,
            method=entry.naming.method,
            training=entry.naming.training,
            dataset=entry.dataset,
            part=entry.runs[0].part,
            n=entry.n,
            accuracy=entry.accuracy,
            error=entry.error,
            runs=len(entry.runs),
        )
        for entry in entries(findings.measurements)
    ]


def agreement_fields(compared: Sequence[Agreements]) -> dict[str, Any]:
    """What `ReportResult` tells of estimates; nothing where there are none."""
    every = sorted(map(_versus_truth, compared), key=lambda item: (-item.subsets, item.name))
    if not every:
        return {}
    first = every[0]
    return {
        "spearman": first.agreement.spearman,
        "pearson": first.agreement.pearson,
        "relative_error_mean": first.agreement.relative_error_mean,
        "relative_error_max": first.agreement.relative_error_max,
        "baselines": first.baselines,
        "noise_floor": first.noise_floor,
        "speedup": first.speedup,
        "comparisons": every,
    }


def _versus_truth(found: Agreements) -> EstimateVersusTruth:
    noise = found.noise_floor
    return EstimateVersusTruth(
        name=found.comparison.name,
        truth=found.comparison.truth_name,
        estimator=found.main.name,
        subsets=len(found.comparison.truth),
        agreement=_correlations(found.main),
        interval=found.main.by_stratum[ALL].interval,
        baselines={item.name: _correlations(item) for item in found.methods[1:]},
        noise_floor=None
        if noise is None
        else NoiseOfTruth(noise.std, found.spread, noise.subsets, noise.runs, _correlations(noise.scored)),
        speedup=found.comparison.costs.speedup,
    )


def _correlations(scored: Scored) -> Correlations:
    every = scored.by_stratum[ALL]
    return Correlations(
        spearman=every.spearman,
        spearman_holding=scored.by_stratum[HOLDING].spearman,
        spearman_not_holding=scored.by_stratum[NOT_HOLDING].spearman,
        spearman_mean_loss=scored.mean_loss.spearman,
        pearson=every.pearson,
        relative_error_mean=every.relative_error_mean,
        relative_error_max=every.relative_error_max,
    )
