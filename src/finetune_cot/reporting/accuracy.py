"""Tables of accuracy: an overview, every measurement, and the best epochs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from finetune_cot.reporting.contrasts import Origin, origin_of
from finetune_cot.reporting.findings import Measurement
from finetune_cot.reporting.model_names import family, millions
from finetune_cot.reporting.naming import OWN_DATA, Naming
from finetune_cot.reporting.runs import Entry, run_number
from finetune_cot.reporting.series import Series
from finetune_cot.reporting.tables import Cell, Table, Value, percent, table

PARTIAL, ALL_SCORED = "†", "‡"
"""Marks: questions are missing; other questions than those asked for are scored."""

_NAMES = ("model", "method", "training")
_COUNTS = (
    "n",
    "correct",
    "accuracy",
    "stderr",
    "contains_answer",
    "correct_format",
    "complete",
    "ungradable",
)


def overview(rows: Sequence[Entry]) -> Table:
    """Models and methods down, data sets across, in percent; the best of each data set is strong."""
    datasets = sorted({entry.dataset for entry in rows})
    by_place = {(entry.naming, entry.dataset): entry for entry in rows}
    namings = list(dict.fromkeys(entry.naming for entry in rows))
    best = {dataset: _best([entry for entry in rows if entry.dataset == dataset]) for dataset in datasets}
    sizes = {key: _size([entry for entry in rows if entry.dataset == key]) for key in datasets}
    return table(
        "accuracy",
        [*_NAMES, *datasets],
        (
            [
                *_names(name),
                *(
                    _overview_cell(by_place.get((name, key)), best[key], " to " in sizes[key])
                    for key in datasets
                ),
            ]
            for name in namings
        ),
        headings=[*_NAMES, *(f"{key} ({sizes[key]})" for key in datasets)],
        notes=_overview_notes(rows),
    )


def detail(rows: Iterable[Entry]) -> Table:
    """Every run after its last epoch, with counts over completions."""
    return table(
        "accuracy_detail",
        [*_NAMES, "dataset", "part", "run", "epoch", "questions", "expected", *_COUNTS, "file"],
        ([*_names(entry.naming), *_detail(run)] for entry in rows for run in entry.runs),
        csv_only=["expected", "ungradable", "file"],
        notes=["n, correct and what follows count completions; accuracy and stderr are in percent."],
    )


def other_parts(measurements: Iterable[Measurement], name_of: Callable[[Measurement], Naming]) -> Table:
    """Completions of samples outside the part, such as those that a teacher wrote to train on."""
    columns = [*_NAMES, "dataset", "epoch", "questions", *_COUNTS, "file"]
    rows = (
        [
            *_names(name_of(item)),
            item.id.dataset_key,
            item.id.epoch,
            item.questions,
            *_counts(item),
            item.file,
        ]
        for item in measurements
    )
    return table("other_parts", columns, rows, csv_only=["ungradable", "file"])


def best_epochs(rows: Iterable[Entry]) -> Table:
    """The best epoch by its accuracy on the measured part itself, as in the paper, beside the last one."""
    return table(
        "best_on_test",
        [*_NAMES, "dataset", "run", "n", "measured_epochs", "best_epoch", "best_accuracy", "last_accuracy"],
        (
            [
                *_names(entry.naming),
                entry.dataset,
                run_number(epochs[0]),
                epochs[-1].score.n,
                len(epochs),
                *_best_epoch(epochs),
            ]
            for entry in rows
            for epochs in entry.epochs
            if len(epochs) > 1
        ),
        notes=["The epoch is chosen on the very questions that it is measured on: these accuracies flatter."],
    )


def by_number(name: str, column: str, every: Iterable[Series]) -> Table:
    """Accuracy of students against a number, such as that of their rationales."""
    return table(
        name,
        [*_NAMES, "dataset", column, "runs", "n", "accuracy", "error"],
        (
            [*_names(entry.naming), entry.dataset, number, len(entry.runs), entry.n, *_accuracy(entry)]
            for series in every
            for number, entry in series.points
        ),
    )


def by_family(rows: Iterable[Entry]) -> Table:
    """Every accuracy by where the model ran, its family and its size."""
    ordered = sorted(rows, key=lambda entry: (*_place(entry), entry.naming.order, entry.dataset))
    columns = ["platform", "family", "millions", *_NAMES, "dataset", "runs", "n", "accuracy"]
    return table(
        "accuracy_by_family",
        columns,
        (
            [
                *(entry.runs[0].platform, family(entry.naming.model)),
                millions(entry.naming.model),
                *_names(entry.naming),
                *(entry.dataset, len(entry.runs)),
                *(entry.n, percent(entry.accuracy, entry.error)),
            ]
            for entry in ordered
        ),
        headings=[*columns[:2], "parameters, millions", *_NAMES, "data set", "runs", "n", "accuracy, %"],
        csv_only=["runs"],
        notes=["Platform: local, or the kind of server that the model ran at; empty where nothing tells."],
    )


def by_training_data(rows: Iterable[Entry], known: Mapping[str, Origin]) -> Table:
    """Students by where their rationales come from: teacher, and whether only right ones were kept.

    Args:
        rows: Measured models; base models are left out.
        known: Origins of training data.
    """
    students = [(entry, entry.runs[0].student, origin_of(entry, known)) for entry in rows]
    return table(
        "accuracy_by_training_data",
        [
            *(*_NAMES, "dataset", "teacher", "teacher_millions", "kept"),
            *("split", "samples", "rationales", "n", "accuracy"),
        ],
        (
            [
                *(*_names(entry.naming), entry.dataset, student.teacher, millions(student.teacher or "")),
                *(origin.kept, origin.split_key, student.training_samples),
                *(student.rationales_per_question, entry.n, percent(entry.accuracy, entry.error)),
            ]
            for entry, student, origin in students
            if student is not None
        ),
        headings=[
            *(*_NAMES, "data set", "teacher", "its parameters, millions", "kept"),
            *("split", "samples", "rationales", "n", "accuracy, %"),
        ],
        notes=["Kept: whether rationales that reach a wrong answer were left out of the training data."],
    )


def _place(entry: Entry) -> tuple[str, str, int]:
    model = entry.naming.model
    return entry.runs[0].platform or "", family(model), millions(model) or 0


def _names(name: Naming) -> list[str]:
    return [name.model, name.method, name.training]


def _accuracy(entry: Entry) -> list[Cell]:
    return [percent(entry.accuracy), percent(entry.error)]


def _overview_cell(entry: Entry | None, best: Sequence[Entry], differing: bool) -> Cell | None:
    if entry is None:
        return None
    marks = (PARTIAL if not entry.is_whole else "") + (ALL_SCORED if not entry.is_of_asked_part else "")
    runs = f" ({len(entry.runs)} runs)" if len(entry.runs) > 1 else ""
    size = f" (n = {entry.n})" if differing else ""
    return percent(entry.accuracy, entry.error, size + runs + (f" {marks}" if marks else ""), entry in best)


def _best(entries: Sequence[Entry]) -> list[Entry]:
    """The best of those that answered the same questions, the most of any; none of a single one."""
    most = max(entries, key=lambda entry: entry.n).answered
    comparable = [entry for entry in entries if entry.answered == most]
    highest = max(entry.accuracy for entry in comparable)
    return [entry for entry in comparable if entry.accuracy == highest] if len(comparable) > 1 else []


def _size(entries: Sequence[Entry]) -> str:
    sizes = {entry.n for entry in entries}
    return f"n = {min(sizes)}" + (f" to {max(sizes)}" if len(sizes) > 1 else "")


def _overview_notes(rows: Sequence[Entry]) -> Iterator[str]:
    yield "Percent right ± one standard error; n is the number of questions."
    yield "Bold: the best of those that answered the same questions."
    if any(len(entry.runs) == 1 and not entry.error for entry in rows):
        yield "± 0.0: all were right, or none; the true share may still be up to 3 / n away (95 %)."
    if any(len(entry.runs) > 1 for entry in rows):
        yield "Of several runs: mean ± standard deviation of the runs."
    if any(entry.naming.is_student for entry in rows):
        yield "Students after their last epoch."
    if any(OWN_DATA in entry.naming.training for entry in rows):
        yield f"{OWN_DATA} under training stands for the data set of the column."
    if any(not entry.is_whole for entry in rows):
        yield f"{PARTIAL} Some questions of the part have no completion, or no right answer that can be read."
    if any(not entry.is_of_asked_part for entry in rows):
        yield f"{ALL_SCORED} Data set or split is not at hand: all completions are scored, of whatever part."


def _detail(item: Measurement) -> list[Cell | Value]:
    head: list[Cell | Value] = [
        item.id.dataset_key,
        item.part,
        run_number(item),
        item.id.epoch,
        item.questions,
        item.expected,
    ]
    return [*head, *_counts(item), item.file]


def _counts(item: Measurement) -> list[Cell | Value]:
    score = item.score
    return [
        *(score.n, score.correct, percent(score.accuracy), percent(score.stderr)),
        *(score.contains_answer, score.correct_format, score.complete, score.ungradable),
    ]


def _best_epoch(epochs: Sequence[Measurement]) -> list[Cell | Value]:
    best = max(epochs, key=lambda item: item.score.accuracy)
    last = epochs[-1]
    return [
        "last" if best.id.epoch is None else best.id.epoch,
        percent(best.score.accuracy, best.score.stderr),
        percent(last.score.accuracy, last.score.stderr),
    ]
