"""The sections of a report: what it says, in which order, apart from how it is rendered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from finetune_cot.reporting import accuracy, agreement, losses, series
from finetune_cot.reporting.agreement import Agreements
from finetune_cot.reporting.agreement_figures import (
    agreement_charts,
    approximation_charts,
    drawn_tasks,
)
from finetune_cot.reporting.bars import bar_charts
from finetune_cot.reporting.charts import Chart
from finetune_cot.reporting.findings import Approximation, Findings, Measurement, TrainingRun
from finetune_cot.reporting.naming import naming
from finetune_cot.reporting.runs import Entry, entries
from finetune_cot.reporting.scoring import OTHER
from finetune_cot.reporting.tables import Table, table

MAX_LOSS_NAMES = 12
"""Trainings whose losses are drawn; those of more are in the tables alone."""

REJECTED = ("rejected_incorrect", "rejected_incomplete", "duplicates")
"""Counts in the metadata of training data that are shown."""


@dataclass(frozen=True)
class Section:
    """A heading, some words, and what is shown under it."""

    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    data: tuple[Table, ...] = ()
    """Tables too long to show, which are there as files alone."""


def sections(findings: Findings, part: str, compared: Sequence[Agreements] = ()) -> list[Section]:
    """Everything that was found, those sections left out of which there is nothing.

    Args:
        findings: What was found.
        part: The part of the data sets that was asked for; the best epoch is shown for ``test`` alone.
        compared: Estimates beside the truth.
    """
    rows = entries(findings.measurements)
    others = [item for item in findings.measurements if item.part == OTHER]
    return [
        *_accuracy(rows, part),
        *_other_parts(others, part),
        *_by_number(rows),
        *_training(findings.training_runs),
        *_agreement(compared),
        *_approximation(findings.approximations),
        *_origins(findings),
        *_left_out(findings),
    ]


def _accuracy(rows: Sequence[Entry], part: str) -> Iterator[Section]:
    if not rows:
        return
    yield Section("Accuracy", tables=(accuracy.overview(rows),), charts=tuple(bar_charts(rows)))
    yield Section("Accuracy in detail", tables=(accuracy.detail(rows),))
    best = accuracy.best_epochs(rows)
    if best.rows and part == "test":
        yield Section("Best on test (paper's protocol)", tables=(best,))


def _other_parts(others: Sequence[Measurement], part: str) -> Iterator[Section]:
    if others:
        words = f"No completion of these files is of the {part} part; they are scored over what they hold."
        yield Section("Completions of other parts", (words,), (accuracy.other_parts(others, naming),))


def _by_number(rows: Sequence[Entry]) -> Iterator[Section]:
    rationales = series.by_rationales(rows)
    if len({number for item in rationales for number, _ in item.points}) > 1:
        name, title, axis = "accuracy_by_rationales", "Accuracy by rationales", "Rationales of a question"
        charts = series.line_charts(name, title, axis, rationales)
        shown = accuracy.by_number(name, "rationales", rationales)
        yield Section("Accuracy by number of rationales", tables=(shown,), charts=tuple(charts))
    sizes = series.by_training_samples(rows)
    if sizes:
        name, title, axis = "accuracy_by_training_samples", "Accuracy by training data", "Training samples"
        charts = series.line_charts(name, title, axis, sizes)
        shown = accuracy.by_number(name, "training_samples", sizes)
        yield Section("Accuracy by size of the training data", tables=(shown,), charts=tuple(charts))


def _training(runs: Sequence[TrainingRun]) -> Iterator[Section]:
    if not runs:
        return
    by_name = [list(group) for _, group in groupby(runs, key=lambda run: run.save_name)]
    charts = [chart for group in by_name[:MAX_LOSS_NAMES] for chart in losses.loss_charts(group)]
    words = f"Drawn are the first {MAX_LOSS_NAMES} of {len(by_name)} trainings, by name."
    by_task = losses.task_table(runs)
    yield Section(
        "Training",
        (words,) if len(by_name) > MAX_LOSS_NAMES else (),
        tables=(losses.training_table(runs),),
        charts=tuple(charts),
        data=(losses.epoch_table(runs), *([by_task] if by_task.rows else [])),
    )


def _agreement(every: Sequence[Agreements]) -> Iterator[Section]:
    for found in every:
        yield Section(
            f"Estimate versus truth: {found.comparison.name}",
            _drawn(found),
            tables=(agreement.overview(found), agreement.by_task(found)),
            charts=tuple(agreement_charts(found)),
            data=(agreement.detail(found),),
        )
    if every:
        yield Section("What an estimate costs", tables=(agreement.speed(every),))


def _drawn(found: Agreements) -> tuple[str, ...]:
    drawn, tasks = len(drawn_tasks(found)), len(found.comparison.tasks)
    return (f"Drawn are the {drawn} of {tasks} tasks whose losses spread most.",) if drawn < tasks else ()


def _approximation(approximations: Sequence[Approximation]) -> Iterator[Section]:
    if approximations:
        yield Section(
            "Approximation error",
            tables=(agreement.approximation_table(approximations),),
            charts=tuple(approximation_charts(approximations)),
        )


def _origins(findings: Findings) -> Iterator[Section]:
    if findings.students:
        yield Section("Students", tables=(_student_table(findings),))
    if findings.training_data:
        yield Section("Training data", tables=(_data_table(findings),))
    if findings.results:
        yield Section("Losses by subset of tasks", tables=(losses.results_table(findings.results),))


def _student_table(findings: Findings) -> Table:
    columns = [
        "model",
        "finetune_key",
        "train_key",
        "method",
        "template",
        "samples",
        "rationales",
        "teacher",
        "runs",
    ]
    return table(
        "students",
        columns,
        (
            [
                *(item.model_key, item.finetune_key, item.train_key, item.method, item.template),
                *(
                    item.training_samples,
                    item.rationales_per_question,
                    item.teacher,
                    len(item.checkpoints or item.jobs),
                ),
            ]
            for item in findings.students
        ),
    )


def _data_table(findings: Findings) -> Table:
    return table(
        "training_data",
        ["finetune_key", "teacher", "samples", "questions", "rationales", *REJECTED, "tasks"],
        (
            [
                *(item.finetune_key, item.teacher, item.samples, item.questions, item.rationales),
                *(item.counts.get(reason) for reason in REJECTED),
                " ".join(item.tasks),
            ]
            for item in findings.training_data
        ),
        notes=["Rationales: of a question, at most."],
    )


def _left_out(findings: Findings) -> Iterator[Section]:
    if findings.left_out:
        rows = ([item.what, item.reason] for item in findings.left_out)
        yield Section("Left out", tables=(table("left_out", ["what", "reason"], rows),))
