"""How large data sets are, and how often chance alone is right: the Fine-tune-CoT paper tells both."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from finetune_cot.errors import FtcotError
from finetune_cot.reporting.findings import DatasetFacts
from finetune_cot.reporting.tables import Table, percent, table
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample
from finetune_cot.tasks.splits import load_split


def dataset_facts(dataset: Dataset, data_dir: Path, split_key: str) -> DatasetFacts:
    """Sizes and chance levels of a data set; without its split, those of all samples."""
    try:
        split = load_split(dataset, data_dir, split_key)
    except FtcotError:
        train, test = None, list(dataset.samples)
    else:
        train, test = dataset.select(split.train), dataset.select(split.test)
    return DatasetFacts(
        key=dataset.key,
        tasks=len(dataset.tasks),
        samples=len(dataset.samples),
        train=None if train is None else len(train),
        test=None if train is None else len(test),
        random=_random([dataset.answer_formats[sample.task] for sample in test]),
        train_random=_train_random(train, test) if train and test else None,
    )


def dataset_table(datasets: Iterable[DatasetFacts]) -> Table:
    """Data sets with their sizes and chance levels."""
    return table(
        "datasets",
        ["dataset", "tasks", "samples", "train", "test", "random", "train_random"],
        (
            [
                *(item.key, item.tasks, item.samples, item.train, item.test),
                *(None if share is None else percent(share) for share in (item.random, item.train_random)),
            ]
            for item in datasets
        ),
        headings=[
            "data set",
            "tasks",
            "samples",
            "train",
            "test",
            "random, %",
            "train-distribution random, %",
        ],
        notes=[
            "Random: drawing among the choices, where answers are chosen from a list.",
            "Train-distribution random: drawing from the right answers of the training part.",
            "Both are expected accuracies over the n samples of the test part.",
        ],
    )


def _random(formats: Iterable[AnswerFormat]) -> float | None:
    chances = [0.5 if item.kind == "yes_no" else 1 / len(item.choices or " ") for item in formats]
    kinds = {item.kind for item in formats}
    return sum(chances) / len(chances) if chances and kinds <= {"yes_no", "choice"} else None


def _train_random(train: Iterable[Sample], test: Iterable[Sample]) -> float:
    seen, asked = _answers(train), _answers(test)
    of_task: Counter[str] = Counter()
    for (task, _), count in seen.items():
        of_task[task] += count
    hits = sum(count * seen[key] / of_task[key[0]] for key, count in asked.items() if key in seen)
    return hits / asked.total()


def _answers(samples: Iterable[Sample]) -> Counter[tuple[str, str]]:
    return Counter((sample.task, sample.answer.strip().lower()) for sample in samples)
