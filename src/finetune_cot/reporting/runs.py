"""Which measurements belong together: the runs of one model and method, and the epochs of one run."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from finetune_cot.reporting.findings import Measurement
from finetune_cot.reporting.naming import Naming, naming, train_key_and_run
from finetune_cot.reporting.scoring import OTHER


@dataclass(frozen=True)
class Entry:
    """The accuracy of one model by one method on one data set: its runs, each after its last epoch."""

    naming: Naming
    runs: tuple[Measurement, ...]
    epochs: tuple[tuple[Measurement, ...], ...]
    """All measured epochs of each run, in their order."""

    @property
    def dataset(self) -> str:
        """Key of the data set."""
        return self.runs[0].id.dataset_key

    @property
    def accuracy(self) -> float:
        """Mean over the runs, as a fraction."""
        return statistics.fmean(run.score.accuracy for run in self.runs)

    @property
    def error(self) -> float:
        """Standard error of a single run; standard deviation of several."""
        if len(self.runs) == 1:
            return self.runs[0].score.stderr
        return statistics.stdev(run.score.accuracy for run in self.runs)

    @property
    def answered(self) -> frozenset[int]:
        """Sample indices of the questions that were answered in every run."""
        return frozenset.intersection(*(run.answered for run in self.runs))

    @property
    def n(self) -> int:
        """Questions that were answered in every run."""
        return len(self.answered)

    @property
    def is_whole(self) -> bool:
        """Whether every question of the part was answered in every run."""
        return all(run.is_whole for run in self.runs)

    @property
    def is_of_asked_part(self) -> bool:
        """Whether the part that was asked for is what was scored."""
        return all(run.as_asked for run in self.runs)


def entries(measurements: Iterable[Measurement]) -> list[Entry]:
    """Measurements of the part that was asked for, by model, method and data set; base models first."""
    groups: dict[tuple[Naming, str], dict[int, list[Measurement]]] = {}
    for item in measurements:
        if item.part != OTHER:
            runs = groups.setdefault((naming(item), item.id.dataset_key), {})
            runs.setdefault(run_number(item), []).append(item)
    joined = []
    for (name, _), runs in groups.items():
        epochs = tuple(tuple(sorted(runs[run], key=_epoch)) for run in sorted(runs))
        joined.append(Entry(name, tuple(run[-1] for run in epochs), epochs))
    return sorted(joined, key=lambda entry: (entry.naming.order, entry.dataset))


def run_number(item: Measurement) -> int:
    """Number of the run that a measurement is of."""
    return train_key_and_run(item.id.train_key)[1] if item.id.train_key else 0


def _epoch(item: Measurement) -> float:
    """Files without an epoch hold the last one."""
    return float("inf") if item.id.epoch is None else item.id.epoch
