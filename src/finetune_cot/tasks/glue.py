"""The nine tasks of GLUE (Wang et al. 2019): one or two texts with a class, or with a score of similarity.

They are read from ``<data_dir>/glue/<task>/{train,validation}.jsonl``, or from the Hugging Face hub. The
labels of GLUE's test parts are not public, so that the validation part is what is measured on. MNLI has a
second one, of texts from other sources than it is trained on: `MISMATCHED`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.hub import load_hub_rows
from finetune_cot.tasks.label_space import SCORE, LabelSpace
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample
from finetune_cot.tasks.tables import Row, read_tables

HUB = "nyu-mll/glue"
TEMPLATE = "classify"
"""Template of the samples: the text is read, and a label is chosen rather than written."""
MISMATCHED = "mnli_mismatched"
"""Name of MNLI's other validation part, which has no training part of its own."""
VALIDATION_FROM = 1_000_000
"""First sample index of the validation part; no task has so many training samples."""
MAX_SCORE = 5.0
_MEND = "mend or remove that row"


@dataclass(frozen=True)
class GlueTask:
    """What the rows of a task hold."""

    columns: tuple[str, ...]
    """Columns with the text, or both texts."""
    labels: tuple[str, ...]
    """Names of the classes, by their numbers."""
    wording: str
    """How a decoder is asked, which reads one text; encoders read the texts as a pair."""
    validation: str = "validation"
    """Name of the part on the hub."""

    @property
    def parts(self) -> dict[str, str]:
        """Names of its parts on the hub, by those of their files."""
        other = {"validation_mismatched": "validation_mismatched"} if self.validation != "validation" else {}
        return {"train": "train", "validation": self.validation} | other


_ENTAILMENT = ("entailment", "not_entailment")
_TRUE_OR_FALSE = "{0}\nQuestion: {1} True or false?\nAnswer:"

GLUE: Mapping[str, GlueTask] = MappingProxyType(
    {
        "cola": GlueTask(
            ("sentence",),
            ("unacceptable", "acceptable"),
            "Sentence: {0}\nQuestion: Is it good English?\nAnswer:",
        ),
        "sst2": GlueTask(("sentence",), ("negative", "positive"), "Review: {0}\nSentiment:"),
        "mrpc": GlueTask(
            ("sentence1", "sentence2"),
            ("not_equivalent", "equivalent"),
            "First: {0}\nSecond: {1}\nQuestion: Do both mean the same?\nAnswer:",
        ),
        "qqp": GlueTask(
            ("question1", "question2"),
            ("not_duplicate", "duplicate"),
            "First: {0}\nSecond: {1}\nQuestion: Do both ask the same?\nAnswer:",
        ),
        "stsb": GlueTask(
            ("sentence1", "sentence2"),
            (SCORE,),
            "First: {0}\nSecond: {1}\nQuestion: How alike are they, from 0 to 5?\nAnswer:",
        ),
        "mnli": GlueTask(
            ("premise", "hypothesis"),
            ("entailment", "neutral", "contradiction"),
            "{0}\nQuestion: {1} True, false, or neither?\nAnswer:",
            validation="validation_matched",
        ),
        "qnli": GlueTask(
            ("question", "sentence"),
            _ENTAILMENT,
            "{1}\nQuestion: {0} Is it answered?\nAnswer:",
        ),
        "rte": GlueTask(("sentence1", "sentence2"), _ENTAILMENT, _TRUE_OR_FALSE),
        "wnli": GlueTask(("sentence1", "sentence2"), _ENTAILMENT[::-1], _TRUE_OR_FALSE),
    }
)
"""The tasks by name, with the columns and the numbers of labels that GLUE's files have."""


def glue_task_of(key: str) -> str | None:
    """The task of a key such as ``glue/rte``, or ``glue-rte`` as file names have it; None of another key.

    Raises:
        UsageError: GLUE has no such task.
    """
    name = _name(key)
    if name != key and (name in GLUE or name == MISMATCHED):
        return "mnli" if name == MISMATCHED else name
    if not key.startswith("glue/"):
        return None
    close = get_close_matches(name, GLUE, n=1)
    raise UsageError(
        f"GLUE has no task {name!r}",
        where="--dataset-key",
        remedy=f"did you mean glue/{close[0]}?" if close else f"its tasks are {', '.join(GLUE)}",
    )


def check_trainable(keys: Iterable[str]) -> None:
    """Refuse keys that are none of GLUE's, and MNLI's mismatched part, which has no training samples.

    Raises:
        UsageError: names the key.
    """
    for key in keys:
        if not glue_task_of(key):
            raise UsageError(
                f"{key} is no task of GLUE, and only those are trained on together", where="--dataset-key"
            )
        if _name(key) == MISMATCHED:
            raise UsageError(
                f"{key} is measured on alone",
                where="--dataset-key",
                remedy="train on glue/mnli, and give it to `ftcot evaluate`",
            )


def glue_keys(data_dir: Path | None) -> list[str]:
    """Keys of the tasks in the data folder, in GLUE's order, and of MNLI's other validation part."""
    if data_dir is None:
        return []
    there = [task for task in GLUE if glue_folder(task, data_dir).is_dir()]
    other = (glue_folder("mnli", data_dir) / "validation_mismatched.jsonl").is_file()
    return [f"glue/{name}" for name in (*there, *[MISMATCHED] * other)]


def glue_dataset(key: str, data_dir: Path | None) -> Dataset:
    """The training and validation samples of a task, or MNLI's other validation samples.

    Args:
        key: A key that `glue_task_of` knows.
        data_dir: The data folder.

    Raises:
        DataError: they are neither in the folder nor to be had from the hub; or a row is of another form.
    """
    name, task = _name(key), str(glue_task_of(key))
    folder = data_dir and glue_folder(task, data_dir)
    there = folder is not None and folder.is_dir()
    parts = {"validation_mismatched": VALIDATION_FROM}
    if name != MISMATCHED:
        parts = {"train": 0, "validation": VALIDATION_FROM}
    samples: list[Sample] = []
    for part, first in parts.items():
        rows = _file_rows(folder, part) if folder and there else _hub_rows(task, part, folder)
        samples += glue_samples(task, rows, first)
    kind = AnswerFormat("score" if GLUE[task].labels == (SCORE,) else "label")
    source = str(folder) if there else f"{HUB} on the Hugging Face hub"
    return Dataset(f"glue-{name}", tuple(samples), source, {task: kind})


def label_space(tasks: Iterable[str]) -> LabelSpace:
    """The labels of several tasks, for one head."""
    return LabelSpace({task: GLUE[task].labels for task in tasks})


def glue_folder(task: str, data_dir: Path) -> Path:
    """Where the files of a task lie."""
    return data_dir / "glue" / task


def glue_samples(task: str, rows: Iterable[Row], first: int = 0) -> list[Sample]:
    """The samples of a part of a task.

    Args:
        task: The task.
        rows: The rows of the part.
        first: What is added to the rows' own numbers.

    Raises:
        DataError: a row is of another form.
    """
    samples: dict[int, Sample] = {}
    for number, row in enumerate(rows):
        texts = tuple(_text(row, column) for column in GLUE[task].columns)
        index = row.fields.get("idx", number)
        if type(index) is not int or index + first in samples:
            raise DataError(f"its idx {index!r} is no number of its own", where=row.where, remedy=_MEND)
        samples[index + first] = Sample(
            index + first,
            GLUE[task].wording.format(*texts),
            _answer(task, row),
            task,
            texts=texts,
        )
    return list(samples.values())


def _name(key: str) -> str:
    return key.removeprefix("glue/").removeprefix("glue-")


def _file_rows(folder: Path, part: str) -> Iterable[Row]:
    return read_tables(folder / f"{part}.jsonl")[0].rows


def _hub_rows(task: str, part: str, folder: Path | None) -> Iterable[Row]:
    split = GLUE[task].parts[part]
    try:
        rows = load_hub_rows(f"{HUB}:{task}", split)
    except DataError as error:
        raise DataError(
            f"GLUE's {task} is neither here nor on the Hugging Face hub: {error.what.rpartition(': ')[2]}",
            where=folder,
            remedy=f"go online, run `ftcot data fetch glue/{task}`, or put its {part}.jsonl there",
        ) from None
    return [Row(row, f"{HUB}:{task}, {split}, row {number}") for number, row in enumerate(rows)]


def _text(row: Row, column: str) -> str:
    value = row.fields.get(column)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"has no text in {column!r}", where=row.where, remedy=_MEND)
    return value.strip()


def _answer(task: str, row: Row) -> str:
    label: Any = row.fields.get("label")
    labels = GLUE[task].labels
    if labels == (SCORE,):
        if type(label) in (int, float) and 0 <= label <= MAX_SCORE:
            return f"{label:.6g}"
        raise DataError(f"its label {label!r} is no score from 0 to 5", where=row.where, remedy=_MEND)
    if type(label) is int and 0 <= label < len(labels):
        return labels[label]
    numbers = ", ".join(f"{number} {name}" for number, name in enumerate(labels))
    raise DataError(f"its label {label!r} is none of {numbers}", where=row.where, remedy=_MEND)
