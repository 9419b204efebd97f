"""The labels of classification tasks as the rows of one head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune_cot.artifacts.students import Student

SCORE = "score"
"""The one label of a regression: its row gives a number."""


@dataclass(frozen=True)
class LabelSpace:
    """Labels of one or several tasks, in one head: the rows of the first task, then those of the next."""

    labels: Mapping[str, Sequence[str]]
    """Labels of each task, by their numbers; of a regression `SCORE` alone."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, sorted, which is the order of their rows."""
        return tuple(sorted(self.labels))

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each row of the head."""
        if len(self.labels) == 1:
            return tuple(self.labels[self.tasks[0]])
        return tuple(f"{task}: {label}" for task in self.tasks for label in self.labels[task])

    def rows(self, task: str) -> range:
        """Rows of a task."""
        start = sum(len(self.labels[other]) for other in self.tasks if other < task)
        return range(start, start + len(self.labels[task]))

    def is_regression(self, task: str) -> bool:
        """Whether a task asks for a number rather than for a class."""
        return tuple(self.labels[task]) == (SCORE,)

    def value(self, task: str, answer: str) -> float:
        """Number of the class that a text names, or the number that it writes."""
        return float(answer) if self.is_regression(task) else float(self.labels[task].index(answer))

    def answer(self, task: str, value: float) -> str:
        """The text of a class, by its number, or of a score."""
        return f"{value:.6g}" if self.is_regression(task) else self.labels[task][int(value)]

    def plain(self) -> dict[str, list[str]]:
        """As a student's metadata hold it."""
        return {task: list(self.labels[task]) for task in self.tasks}


def labels_of(student: Student | None) -> LabelSpace | None:
    """What the rows of a student's head mean; None of a language model, and where nothing is known of it."""
    if student is None or not student.labels:
        return None
    return LabelSpace({task: tuple(names) for task, names in student.labels.items()})
