"""``model_metadata``: what is known of a student, so that other commands find its weights by its keys."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from finetune_cot.artifacts.files import read_json, write_json_atomic
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.errors import ArtifactError

STUDENT_FILE = "student.json"
"""A student's metadata in the folder of its checkpoint or export."""

WAIT_SECONDS = 60.0
"""How long to wait for another run that writes this student just now."""


PLATFORM_TRAIN_KEY = "openai"
"""Train key of a platform's students where no other is given; their completions are named without it."""


@dataclass(frozen=True)
class PlatformJob:
    """A fine-tuning job at a server, and what came of it."""

    base_url: str
    data_sha256: str
    """Of the training data."""
    epochs: int
    seed: int
    file_id: str
    """The server's name of the training data."""
    job_id: str | None = None
    """The server's name of the job; None until it is known to be there."""
    status: str = "uploaded"
    """What the server said of it last."""
    model: str | None = None
    """The server's name of the fine-tuned model; None until it is there."""
    trained_tokens: int | None = None


@dataclass(frozen=True)
class Student:
    """A fine-tuned model: what it was made from and how, and where each of its runs lies."""

    model_key: str
    """Key of the base model, as it was given to `train`."""
    finetune_key: str
    """Key of its training data."""
    train_key: str
    """Key of its way of training."""
    method: str
    """That of `train`, such as ``qlora``; ``platform`` where a server trained it."""
    template: str | None
    """Template of its training samples; None for instruction data."""
    checkpoints: Mapping[str, str]
    """Checkpoint folder of each run, relative to ``saved/``, by the run's number."""
    training_samples: int
    """Samples that it was trained on."""
    rationales_per_question: int | None = None
    """Rationales of each question at most; None where the data hold none."""
    teacher: str | None = None
    """Slug of the model that wrote the rationales."""
    labels: Mapping[str, Sequence[str]] | None = None
    """Labels of each task in a classifier's head; None of a language model."""
    platform: str | None = None
    """``openai`` or ``openai-chat``, by the form of its training data; None where it was trained here."""
    jobs: Mapping[str, PlatformJob] = field(default_factory=dict)
    """The platform's job of each run, by the run's number."""


def write_student(path: Path, student: Student) -> None:
    """Write a student's metadata; runs that the file already names are kept, also of others at once.

    Raises:
        ArtifactError: the file is torn or of another form, or cannot be written.
    """
    with artifact_lock(path, "train", wait_seconds=WAIT_SECONDS):
        values = asdict(student)
        if path.exists():
            earlier = asdict(read_student(path))
            values |= {name: {**earlier[name], **values[name]} for name in ("checkpoints", "jobs")}
        write_json_atomic(path, values)


def read_student(path: Path) -> Student:
    """Read a student's metadata.

    Raises:
        ArtifactError: the file is missing, torn or of another form.
    """
    values = read_json(path)
    try:
        jobs = {run: PlatformJob(**job) for run, job in values.get("jobs", {}).items()}
        student = Student(**{**values, "jobs": jobs})
    except (TypeError, AttributeError):
        student = None
    if student is None or not _is_of_form(student):
        raise ArtifactError("is no student's metadata", where=path, remedy="`ftcot train` writes it")
    return student


def _is_of_form(student: Student) -> bool:
    texts = (student.model_key, student.finetune_key, student.train_key, student.method)
    return (
        isinstance(student.checkpoints, dict)
        and isinstance(student.training_samples, int)
        and isinstance(student.rationales_per_question, int | None)
        and isinstance(student.labels, dict | None)
        and all(isinstance(text, str) for text in texts)
    )
