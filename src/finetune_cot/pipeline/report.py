"""``report``: tables, figures and a page of everything that is saved."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune_cot.artifacts.completions import journal_path
from finetune_cot.artifacts.files import sha256_file, write_directory_atomic
from finetune_cot.artifacts.keys import check_key
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.manifest import RunningCommand, start, write_manifest
from finetune_cot.config.options import replace, to_plain
from finetune_cot.config.report import ReportConfig
from finetune_cot.errors import ArtifactError
from finetune_cot.pipeline.progress import progress, say
from finetune_cot.pipeline.report_result import ReportResult, accuracy_rows, agreement_fields
from finetune_cot.reporting.agreement import agreements
from finetune_cot.reporting.charts import Chart
from finetune_cot.reporting.chosen import Affinity, task_names
from finetune_cot.reporting.comparisons import ESTIMATES
from finetune_cot.reporting.figures import require_matplotlib, save_figures
from finetune_cot.reporting.findings import Findings, SubsetResults
from finetune_cot.reporting.gather import Scope, completion_files, gather
from finetune_cot.reporting.glossary import glossary
from finetune_cot.reporting.highlights import Summary, summary
from finetune_cot.reporting.markdown import to_markdown
from finetune_cot.reporting.page import to_page
from finetune_cot.reporting.runs import entries
from finetune_cot.reporting.scripts import chart_scripts, require_page_packages
from finetune_cot.reporting.sections import Section, sections
from finetune_cot.reporting.tables import to_csv
from finetune_cot.selection.affinity import task_affinity
from finetune_cot.selection.ensemble import ensemble_scores

MARKDOWN, PAGE, MANIFEST = "report.md", "report.html", "manifest.json"
FEWEST_SUBSETS, FEWEST_TASKS = 10, 3
"""Of a table of losses for which affinities are told: fewer say nothing."""


@dataclass(frozen=True)
class _Content:
    """What is written, apart from its form."""

    findings: Findings
    first: Summary
    sections: Sequence[Section]


def report(config: ReportConfig) -> ReportResult:
    """Read everything under ``saved/`` and write ``saved/reports/<name>/``; what cannot be read is told of.

    Raises:
        ArtifactError: nothing is saved yet, or nothing of the only data set asked for, or the report cannot
            be written.
        UsageError: the name cannot be one, or a package of figures, page or checker is not installed.
    """
    # a report that is replayed is written, neither opened nor served
    running = start("report", to_plain(replace(config, open=False, serve=False)))
    formats = [form for form in config.figure_format if form != "none"]
    if formats:
        require_matplotlib()
    if config.page:
        require_page_packages()
    folder = config.saved_dir / "reports" / check_key(config.name, "report name")
    if config.dataset_key is not None:
        check_key(config.dataset_key, "data set key")
    findings = _gather(config)
    compared = [agreements(item) for item in findings.comparisons if config.results in (None, item.name)]
    for item in findings.left_out:
        say(f"left out: {item.what}: {item.reason}")
    shown = sections(findings, config.split, compared, _affinities(findings.results))
    first = summary(findings, entries(findings.measurements), compared)
    with artifact_lock(folder, "report"):
        _refuse_other(folder)
        content = _Content(findings, first, shown)
        tables, figures = _write(folder, config, content, formats, running)
    return ReportResult(
        path=folder,
        report_md=folder / MARKDOWN,
        tables=[folder / name for name in tables],
        figures=[folder / name for name in figures],
        page=folder / PAGE if config.page else None,
        next_command=first.next[0][1] if first.next else None,
        **agreement_fields(compared),
        accuracy=accuracy_rows(findings),
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
    content: _Content,
    formats: Sequence[str],
    running: RunningCommand,
) -> tuple[list[str], list[str]]:
    """Write the report's folder; gives the names of its tables and figures."""
    tables = [table for section in content.sections for table in (*section.tables, *section.data)]
    charts = [chart for section in content.sections for chart in section.charts]
    with write_directory_atomic(folder) as temporary:
        for table in tables:
            (temporary / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")
        figures = _draw(charts, temporary, formats) if formats else []
        form, words = formats[0] if formats else None, _words(config, content.findings)
        text = to_markdown(config.name, words, content.first, content.sections, form)
        (temporary / MARKDOWN).write_text(text, encoding="utf-8")
        if config.page:
            (temporary / PAGE).write_text(_page(config, content), encoding="utf-8")
        inputs = _digests(config.saved_dir, content.findings.inputs)
        outputs = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        write_manifest(temporary / MANIFEST, running.manifest(inputs, outputs))
    return [f"{table.name}.csv" for table in tables], figures


def _page(config: ReportConfig, content: _Content) -> str:
    return to_page(
        config.name,
        _words(config, content.findings),
        content.first,
        glossary(content.findings),
        content.sections,
        content.findings.measurements,
        chart_scripts(),
    )


def _affinities(results: Sequence[SubsetResults]) -> list[Affinity]:
    """How tasks bear on each other, of every table of losses that tells of enough subsets and tasks."""
    found = []
    names = task_names(results)
    for item in results:
        tasks = names[item.name]
        whole = [row for row in item.rows if set(row.loss_by_task) == set(tasks)]
        known = [row for row in whole if max(row.task_indices, default=0) < len(tasks)]
        losses = np.array([[row.loss_by_task[task] for task in tasks] for row in known])
        if len(known) >= FEWEST_SUBSETS and len(tasks) >= FEWEST_TASKS and np.isfinite(losses).all():
            subsets = [row.task_indices for row in known]
            affinities, scores = task_affinity(subsets, losses), ensemble_scores(subsets, losses)
            mean = float(losses.mean())
            found.append(Affinity(item.name, tasks, len(known), affinities, scores, mean))
    return found


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


def _words(config: ReportConfig, findings: Findings) -> list[str]:
    about = [
        told
        for told, there in (
            (
                "how often language models answer questions right, before and after fine-tuning",
                findings.measurements,
            ),
            ("how the losses of trainings fell", findings.training_runs),
            ("what fine-tuning on some of the tasks alone gives, or would give", findings.results),
        )
        if there
    ]
    part = "all samples" if config.split == "all" else f"the {config.split} part (split {config.split_key})"
    first = [f"This report shows {'; '.join(about)}."] if about else []
    if not findings.measurements:
        return first
    return [*first, f"Measured on {part} of each data set, with the {config.checker} answer checker."]


def _refuse_other(folder: Path) -> None:
    """Leave alone a folder that holds something of the user's."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise ArtifactError("is no report, so it is not replaced", where=folder, remedy="use another --name")
