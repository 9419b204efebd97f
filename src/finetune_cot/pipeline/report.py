"""``report``: tables and figures of everything that is saved."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.completions import journal_path
from finetune_cot.artifacts.files import sha256_file, write_directory_atomic
from finetune_cot.artifacts.keys import check_key
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import RunningCommand, start, write_manifest
from finetune_cot.config.options import to_plain
from finetune_cot.config.report import ReportConfig
from finetune_cot.errors import ArtifactError
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.reporting.agreement import (
    ALL,
    HOLDING,
    NOT_HOLDING,
    Agreements,
    Scored,
    agreements,
)
from finetune_cot.reporting.charts import Chart
from finetune_cot.reporting.comparisons import ESTIMATES
from finetune_cot.reporting.figures import require_matplotlib, save_figures
from finetune_cot.reporting.findings import Findings, LeftOut
from finetune_cot.reporting.gather import Scope, completion_files, gather
from finetune_cot.reporting.markdown import to_markdown
from finetune_cot.reporting.runs import entries
from finetune_cot.reporting.sections import sections
from finetune_cot.reporting.tables import to_csv

MARKDOWN, MANIFEST = "report.md", "manifest.json"


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


def report(config: ReportConfig) -> ReportResult:
    """Read everything under ``saved/`` and write ``saved/reports/<name>/``; what cannot be read is told of.

    Raises:
        ArtifactError: nothing is saved yet, or nothing of the only data set asked for, or the report cannot
            be written.
        UsageError: the name cannot be one, or matplotlib or the checker's package is not installed.
    """
    running = start("report", to_plain(config))
    formats = [form for form in config.figure_format if form != "none"]
    if formats:
        require_matplotlib()
    folder = config.saved_dir / "reports" / check_key(config.name, "report name")
    if config.dataset_key is not None:
        check_key(config.dataset_key, "data set key")
    findings = _gather(config)
    compared = [agreements(item) for item in findings.comparisons if config.results in (None, item.name)]
    for item in findings.left_out:
        say(f"left out: {item.what}: {item.reason}")
    with artifact_lock(folder, "report"):
        _refuse_other(folder)
        tables, figures = _write(folder, config, findings, compared, formats, running)
    return ReportResult(
        path=folder,
        report_md=folder / MARKDOWN,
        tables=[folder / name for name in tables],
        figures=[folder / name for name in figures],
        **_agreement(compared),
        accuracy=_accuracy(findings),
        left_out=list(findings.left_out),
    )


def _gather(config: ReportConfig) -> Findings:
    scope = Scope(
        saved_dir=config.saved_dir,
        data_dir=config.data_dir,
        dataset_key=config.dataset_key,
        split=config.split,
        split_key=config.split_key,
        checker=config.checker,
    )
    with progress("Completion files", len(completion_files(scope)), "files") as update:
        findings = gather(scope, update)
    if not findings.inputs and not findings.left_out:
        raise ArtifactError(
            "there is nothing to report yet",
            where=config.saved_dir,
            remedy="run `ftcot demo`, `ftcot evaluate` or `ftcot train` first, or name its --saved-dir",
        )
    if config.results is not None and config.results not in {item.name for item in findings.comparisons}:
        reasons = [
            item.reason for item in findings.left_out if item.what == f"results/{config.results}/{ESTIMATES}"
        ]
        raise ArtifactError(
            reasons[0] if reasons else "holds no estimates of subsets whose truth is there",
            where=config.saved_dir / "results" / config.results,
            remedy="run `ftcot estimate` and `ftcot sample-truth` on the same list of subsets",
        )
    if config.dataset_key is not None and not findings.measurements and not findings.left_out:
        raise ArtifactError(
            f"holds no completions of {config.dataset_key}",
            where=config.saved_dir,
            remedy="check --dataset-key, or run `ftcot evaluate` on it first",
        )
    return findings


def _write(
    folder: Path,
    config: ReportConfig,
    findings: Findings,
    compared: Sequence[Agreements],
    formats: Sequence[str],
    running: RunningCommand,
) -> tuple[list[str], list[str]]:
    """Write the report's folder; gives the names of its tables and figures."""
    content = sections(findings, config.split, compared)
    tables = [table for section in content for table in (*section.tables, *section.data)]
    charts = [chart for section in content for chart in section.charts]
    with write_directory_atomic(folder) as temporary:
        for table in tables:
            (temporary / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")
        figures = _draw(charts, temporary, formats) if formats else []
        text = to_markdown(config.name, _words(config), content, formats[0] if formats else None)
        (temporary / MARKDOWN).write_text(text, encoding="utf-8")
        inputs = _digests(config.saved_dir, findings.inputs)
        outputs = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        write_manifest(temporary / MANIFEST, running.manifest(inputs, outputs))
    return [f"{table.name}.csv" for table in tables], figures


def _draw(charts: Sequence[Chart], folder: Path, formats: Sequence[str]) -> list[str]:
    with progress("Figures", len(charts), "figures") as update:
        return save_figures(charts, folder, formats, update)


def _digests(saved_dir: Path, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 of what was read, by its path; the journal of completions under way may go at any time."""
    found = {}
    for name in names:
        for path in (saved_dir / name, journal_path(saved_dir / name)):
            with contextlib.suppress(FileNotFoundError):
                found[path.relative_to(saved_dir).as_posix()] = sha256_file(path)
    return found


def _words(config: ReportConfig) -> list[str]:
    part = "all samples" if config.split == "all" else f"the {config.split} part (split {config.split_key})"
    return [f"Measured on {part} of each data set, with the {config.checker} answer checker."]


def _accuracy(findings: Findings) -> list[AccuracyRow]:
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


def _agreement(compared: Sequence[Agreements]) -> dict[str, Any]:
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


def _refuse_other(folder: Path) -> None:
    """Leave alone a folder that holds something of the user's."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise ArtifactError("is no report, so it is not replaced", where=folder, remedy="use another --name")
