"""The sections of a report: what it says, in which order, apart from how it is rendered."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from finetune_cot.reporting import accuracy, agreement, losses, series
from finetune_cot.reporting.absent import absent_table, left_out_table
from finetune_cot.reporting.agreement import Agreements
from finetune_cot.reporting.agreement_figures import (
    agreement_charts,
    approximation_charts,
    drawn_tasks,
)
from finetune_cot.reporting.bars import bar_charts, family_charts
from finetune_cot.reporting.chance import dataset_table
from finetune_cot.reporting.charts import Chart, has_values
from finetune_cot.reporting.chosen import (
    MAX_HEAT_TASKS,
    Affinity,
    affinity_chart,
    affinity_table,
    ensemble_chart,
    ensemble_table,
    selection_table,
    task_names,
)
from finetune_cot.reporting.contrasts import (
    Origin,
    by_filter,
    by_split,
    contrast_chart,
    contrast_table,
    origins,
)
from finetune_cot.reporting.epochs import epoch_accuracies, epoch_charts
from finetune_cot.reporting.findings import Approximation, Findings, Measurement, TrainingRun
from finetune_cot.reporting.lengths import MAX_LINES, lengths_charts, lengths_table
from finetune_cot.reporting.model_names import family
from finetune_cot.reporting.naming import naming
from finetune_cot.reporting.provenance import (
    cost_table,
    provenance_table,
    time_table,
    token_table,
    version_table,
)
from finetune_cot.reporting.published_figures import (
    paper_lines,
    paper_students,
    published_table,
    student_table,
)
from finetune_cot.reporting.repetition import repetition_charts, repetition_table
from finetune_cot.reporting.runs import Entry, entries
from finetune_cot.reporting.scoring import OTHER
from finetune_cot.reporting.tables import Table, table

MAX_FAMILIES = 12
"""Families of models whose accuracies are drawn; those of more are in the table alone."""
MAX_LOSS_NAMES = 12
"""Trainings whose losses are drawn; those of more are in the tables alone."""

REJECTED = ("rejected_incorrect", "rejected_incomplete", "duplicates")
"""Counts in the metadata of training data that are shown."""


_CONTRASTS = {
    "accuracy_by_split": (
        "Questions of one template differ only in names and numbers. In the default split both parts may hold"
        " them; in the template split one part alone does, which tells learning from remembering.",
        "Each model is measured on the test part of the split; students on that which they learned from.",
    ),
    "accuracy_by_filter": (
        "Right ones: students of rationales that reach the right answer; all: of wrong ones too.",
    ),
}
"""What the contrasts mean, by the name of their table."""


@dataclass(frozen=True)
class Section:
    """A heading, some words, and what is shown under it."""

    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()
    data: tuple[Table, ...] = ()
    """Tables too long to show, which are there as files alone."""


def sections(
    findings: Findings,
    part: str,
    compared: Sequence[Agreements] = (),
    affinities: Sequence[Affinity] = (),
) -> list[Section]:
    """Everything that was found, those sections left out of which there is nothing.

    Args:
        findings: What was found.
        part: The part of the data sets that was asked for; the best epoch is shown for ``test`` alone.
        compared: Estimates beside the truth.
        affinities: How tasks bear on each other.
    """
    rows = entries(findings.measurements)
    others = [item for item in findings.measurements if item.part == OTHER]
    drawn = {name for found in compared for name in (found.comparison.name, found.comparison.truth_name)}
    found = [
        *_accuracy(rows, part),
        *_other_parts(others, part),
        *_paper(findings, rows),
        *_by_number(rows, origins(findings.made)),
        *_training(findings.training_runs),
        *_agreement(compared),
        *_approximation(findings.approximations),
        *_chosen(findings, affinities, drawn),
        *_origins(findings),
        *_provenance(findings),
        *_absent(findings, compared),
        *_left_out(findings),
    ]
    return [replace(item, charts=tuple(filter(has_values, item.charts))) for item in found]


def _accuracy(rows: Sequence[Entry], part: str) -> Iterator[Section]:
    if not rows:
        return
    yield Section("Accuracy", tables=(accuracy.overview(rows),), charts=tuple(bar_charts(rows)))
    platforms = {entry.runs[0].platform for entry in rows} - {None}
    if len(platforms) > 1 or len({family(entry.naming.model) for entry in rows}) > 1:
        families, charts = accuracy.by_family(rows), family_charts(rows)[:MAX_FAMILIES]
        yield Section("Accuracy by platform and family", tables=(families,), charts=tuple(charts))
    yield Section("Accuracy in detail", tables=(accuracy.detail(rows),))
    best = accuracy.best_epochs(rows)
    if best.rows and part == "test":
        yield Section("Best on test (paper's protocol)", tables=(best,))


def _other_parts(others: Sequence[Measurement], part: str) -> Iterator[Section]:
    if others:
        words = f"No completion of these files is of the {part} part; they are scored over what they hold."
        yield Section("Completions of other parts", (words,), (accuracy.other_parts(others, naming),))


def _by_number(rows: Sequence[Entry], known: Mapping[str, Origin]) -> Iterator[Section]:
    rationales = series.by_rationales(rows)
    if len({number for item in rationales for number, _ in item.points}) > 1:
        name, title, axis = "accuracy_by_rationales", "Accuracy by rationales", "Rationales of a question"
        charts = series.line_charts(name, title, axis, rationales)
        shown = accuracy.by_number(name, "rationales", rationales)
        yield Section("Accuracy by number of rationales", tables=(shown,), charts=tuple(charts))
    sizes = series.by_training_samples(rows, known)
    if sizes:
        name, title, axis = "accuracy_by_training_samples", "Accuracy by training data", "Training samples"
        charts = series.line_charts(name, title, axis, sizes)
        shown = accuracy.by_number(name, "training_samples", sizes)
        yield Section("Accuracy by size of the training data", tables=(shown,), charts=tuple(charts))

    yield from _by_model_size(rows)


def _by_model_size(rows: Sequence[Entry]) -> Iterator[Section]:
    paper = paper_students(rows)
    models = series.by_model_size(rows)
    name, title, axis = "accuracy_by_model_size", "Accuracy by model size", "Parameters (millions)"
    lines = paper_lines(paper, len(models))
    charts = series.line_charts(name, title, axis, models, lines)
    if charts:
        words = "Models whose size is known, most by their names."
        beside = (student_table(rows, paper),) if paper else ()
        shown = (accuracy.by_number(name, "millions", models), *beside)
        yield Section("Accuracy by size of the model", (words,), shown, tuple(charts))


def _paper(findings: Findings, rows: Sequence[Entry]) -> Iterator[Section]:
    """What the Fine-tune-CoT paper shows beside its accuracies."""
    if findings.datasets:
        yield Section("Data sets", tables=(dataset_table(findings.datasets),))
    published = published_table(rows)
    if published.rows:
        yield Section("Beside published figures", tables=(published,))
    known = origins(findings.made)
    by_data = accuracy.by_training_data(rows, known)
    if by_data.rows:
        name, title = "accuracy_by_teacher_size", "Accuracy by the teacher's size"
        teachers = series.line_charts(
            name, title, "Parameters of the teacher (millions)", series.by_teacher_size(rows)
        )
        yield Section("Accuracy by teacher and training data", tables=(by_data,), charts=tuple(teachers))
    for title, column, name, sides in (
        ("Template against default split", "split", "accuracy_by_split", by_split(rows, known)),
        ("Filtered against unfiltered samples", "kept", "accuracy_by_filter", by_filter(rows, known)),
    ):
        if sides:
            shown = (contrast_table(name, column, sides),)
            yield Section(title, _CONTRASTS[name], shown, (contrast_chart(name, title, sides),))
    by_epoch = epoch_accuracies(rows)
    if by_epoch.rows:
        yield Section("Accuracy by epoch", tables=(by_epoch,), charts=tuple(epoch_charts(rows)))
    repeated = repetition_table(findings.measurements)
    if repeated.rows:
        several = tuple(repetition_charts(findings.measurements))
        yield Section("Repeated inference", tables=(repeated,), charts=several)
    lengths = lengths_table(findings.measurements, findings.training_data)
    if lengths.rows:
        words = f"Drawn are at most {MAX_LINES} distributions of each data set; the table holds all."
        distributions = lengths_charts(findings.measurements, findings.training_data)
        yield Section("Lengths of completions", (words,), (lengths,), tuple(distributions))


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


def _chosen(
    findings: Findings, affinities: Sequence[Affinity], compared: Collection[str]
) -> Iterator[Section]:
    """Selections, then scores and affinities; scores of estimates beside a truth are drawn with it."""
    if findings.selections:
        chosen = selection_table(findings.selections, task_names(findings.results))
        yield Section("Selected tasks", tables=(chosen,))
    for item in affinities:
        few = len(item.tasks) <= MAX_HEAT_TASKS
        scores = (ensemble_chart(item),) if few and item.name not in compared else ()
        yield Section(
            f"Task affinity: {item.name}",
            (
                "How a task's loss changes with another task in the training data. Blue helps, red harms.",
                f"Mean over {item.subsets} subsets of {len(item.tasks)} tasks; cells without any are empty.",
            ),
            tables=(ensemble_table(item),),
            charts=(*scores, *((affinity_chart(item),) if few else ())),
            data=(affinity_table(item),),
        )


def _provenance(findings: Findings) -> Iterator[Section]:
    if findings.made:
        tokens = token_table(findings.measurements)
        costs = cost_table(findings.made, findings.measurements)
        yield Section(
            "Cost and time", tables=(*((tokens,) if tokens.rows else ()), time_table(findings.made), costs)
        )
        yield Section(
            "Where it comes from", tables=(provenance_table(findings.made), version_table(findings.made))
        )


def _absent(findings: Findings, compared: Sequence[Agreements]) -> Iterator[Section]:
    missing = absent_table(findings, compared)
    if missing.rows:
        yield Section("Not measured yet", tables=(missing,))


def _origins(findings: Findings) -> Iterator[Section]:
    if findings.students:
        yield Section("Students", tables=(_student_table(findings),))
    if findings.training_data:
        yield Section("Training data", tables=(_data_table(findings),))
    if findings.results:
        shown = losses.results_table(findings.results, findings.training_runs)
        yield Section("Losses by subset of tasks", tables=(shown,))


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
        yield Section("Left out", tables=(left_out_table(findings.left_out),))
