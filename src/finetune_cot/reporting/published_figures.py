"""Accuracies that papers tell, beside those measured here on the same data set by the same method."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from finetune_cot.reporting.charts import Line, Point
from finetune_cot.reporting.model_names import millions
from finetune_cot.reporting.runs import Entry
from finetune_cot.reporting.tables import Cell, Table, Value, percent, table

KOJIMA = "Kojima et al. 2022, Zero-shot-CoT"


@dataclass(frozen=True)
class Published:
    """An accuracy in a paper."""

    model: str
    template: str
    dataset: str
    right: int
    n: int
    """Samples; all of the data set."""
    source: str


PUBLISHED = (
    Published("text-davinci-002", "zs_cot", "multiarith", 472, 600, KOJIMA),
    Published("text-davinci-002", "zs_cot", "addsub", 275, 395, KOJIMA),
    Published("text-davinci-002", "zs_cot", "coin_flip", 457, 500, KOJIMA),
    Published("text-davinci-002", "zs_cot", "date_understanding", 249, 369, KOJIMA),
)
"""Counts of the published logs, which state these accuracies; addsub was compared as text there."""

HO = "Ho et al. 2023"
TESTS = {
    **{"single_eq": 152, "addsub": 119, "multiarith": 180, "gsm8k": 1319, "aqua": 254, "svamp": 300},
    **{"date_understanding": 111, "tracking_shuffled_objects": 225, "last_letter_concatenation": 150},
    **{"coin_flip": 150, "commonsense_qa": 1221, "strategy_qa": 687},
}
"""Questions that the Fine-tune-CoT paper measures on: the test part of the default split."""


@dataclass(frozen=True)
class PaperStudent:
    """Accuracies of one of the paper's students, in percent, in the order of `TESTS`."""

    model: str
    millions: int
    diverse: bool
    """Whether it learned from several rationales of a question."""
    percents: tuple[float | None, ...]
    protocol: str = ""

    def accuracy(self, dataset: str) -> float | None:
        """Share of right answers; None where the paper tells none."""
        found = self.percents[list(TESTS).index(dataset)]
        return None if found is None else found / 100


_BEST = "best of 20 epochs on test"
PAPER_STUDENTS = (
    PaperStudent(
        *("0.3B", 300, False),
        (7.24, 6.72, 6.11, 3.11, 23.62, 5.00, 17.12, 49.33, 50.67, 99.33, 32.68, 52.55),
    ),
    PaperStudent(
        *("0.3B", 300, True),
        (9.21, 10.08, 23.89, None, None, 14.33, 58.56, 61.78, 59.33, 99.33, None, 57.21),
    ),
    PaperStudent(
        *("6.7B", 6700, False),
        (20.39, 21.01, 33.33, 6.75, 24.02, 12.67, 60.36, 64.44, 52.67, 98.67, 56.76, 55.02),
    ),
    PaperStudent(
        *("6.7B", 6700, True),
        (24.34, 31.09, 53.33, None, None, 30.33, 83.78, 73.33, 62.00, 100.0, None, 58.22),
    ),
    PaperStudent(
        *("Flan-T5 large", 700, True),
        (10.53, 15.13, 20.00, None, None, 13.67, 87.39, 89.33, 65.33, 100.0, None, 61.72),
        _BEST,
    ),
    PaperStudent(
        *("GPT-2", 124, False),
        (3.95, 5.88, 8.33, 3.03, 22.44, 4.33, 25.23, 38.67, 4.67, 77.33, 22.69, 55.75),
        _BEST,
    ),
)


def published_table(rows: Sequence[Entry]) -> Table:
    """Measured accuracies with the published ones; those without a published one are left out."""
    known = {(item.model, item.template, item.dataset): item for item in PUBLISHED}
    pairs = (
        (entry, known.get((entry.naming.model, entry.naming.template, entry.dataset)))
        for entry in rows
        if not entry.naming.is_student and not entry.runs[0].temperature
    )
    return table(
        "published",
        ["model", "method", "dataset", "part", "n", "accuracy", "published", "published_n", "source"],
        (
            [
                *(entry.naming.model, entry.naming.method, entry.dataset, entry.runs[0].part, entry.n),
                *(
                    percent(entry.accuracy, entry.error),
                    percent(paper.right / paper.n),
                    paper.n,
                    paper.source,
                ),
            ]
            for entry, paper in pairs
            if paper is not None
        ),
        headings=["model", "method", "data set", "part", "n", "here, %", "published, %", "n", "source"],
        notes=["Published accuracies are of all samples of the data set; --split all measures on those too."],
    )


def paper_students(rows: Iterable[Entry]) -> dict[str, list[PaperStudent]]:
    """Students of the paper by data set, where a student here was measured on as many questions as they."""
    found: dict[str, list[PaperStudent]] = {}
    for entry in rows:
        if entry.dataset in TESTS and entry.n == _size(entry.dataset) and _is_cot_student(entry):
            diverse = (entry.naming.rationales or 1) > 1
            known = found.setdefault(entry.dataset, [])
            known += [
                item
                for item in PAPER_STUDENTS
                if item.diverse == diverse and item.accuracy(entry.dataset) is not None and item not in known
            ]
    return found


def student_table(rows: Iterable[Entry], paper: Mapping[str, Sequence[PaperStudent]]) -> Table:
    """Students here beside those of the paper, by data set, method and size."""
    lines: list[tuple[str, str, Sequence[Cell | Value]]] = []
    for entry in rows:
        if entry.dataset in paper and _is_cot_student(entry):
            name, size = entry.naming, millions(entry.naming.model)
            here = name.method, "here", name.model, size, name.training
            cells = entry.dataset, *here, entry.n, percent(entry.accuracy, entry.error)
            lines.append((entry.dataset, _kind((name.rationales or 1) > 1), cells))
    for dataset, students in paper.items():
        n = _size(dataset)
        for item in students:
            share, method = item.accuracy(dataset) or 0.0, _kind(item.diverse)
            accuracy = percent(share, sqrt(share * (1 - share) / n))
            there = method, HO, item.model, item.millions, item.protocol
            lines.append((dataset, method, (dataset, *there, n, accuracy)))
    return table(
        "students_beside_paper",
        ["dataset", "method", "whose", "model", "millions", "training", "n", "accuracy"],
        (cells for *_, cells in sorted(lines, key=lambda line: line[:2])),
        headings=[
            *("data set", "method", "whose", "model", "parameters, millions"),
            *("training", "n", "accuracy, %"),
        ],
        notes=["The paper's errors are the standard errors that follow from its accuracies and n."],
    )


def paper_lines(paper: Mapping[str, Sequence[PaperStudent]], first_colour: int) -> dict[str, list[Line]]:
    """The paper's students by size as dashed lines, by data set."""
    found: dict[str, list[Line]] = {}
    for dataset, students in paper.items():
        kinds: dict[str, list[Point]] = {}
        for item in sorted(students, key=lambda item: item.millions):
            share = item.accuracy(dataset) or 0.0
            error = sqrt(share * (1 - share) / _size(dataset))
            label = f"{HO}: {_kind(item.diverse)}" + (f", {item.protocol}" if item.protocol else "")
            kinds.setdefault(label, []).append(Point(item.millions, 100 * share, 100 * error))
        found[dataset] = [
            Line(label, tuple(points), first_colour + number, dashed=True)
            for number, (label, points) in enumerate(kinds.items())
        ]
    return found


def _is_cot_student(entry: Entry) -> bool:
    return entry.naming.is_student and entry.naming.template.startswith("ft_cot") and entry.is_whole


def _size(dataset: str) -> int:
    return TESTS[dataset]


def _kind(diverse: bool) -> str:
    return "fine-tune-CoT" + (", diverse" if diverse else "")
