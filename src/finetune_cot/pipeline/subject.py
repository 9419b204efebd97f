"""Whose completions a command is about: a base model, a student, or the model in a folder."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_cot.artifacts.checkpoints import (
    EPOCHS,
    LAST,
    is_checkpoint,
    require_finetuned,
    weights_folder,
)
from finetune_cot.artifacts.ensembles import ENSEMBLE, is_ensemble
from finetune_cot.artifacts.ids import CompletionId, ModelMetadataId
from finetune_cot.artifacts.keys import model_slug
from finetune_cot.artifacts.students import (
    PLATFORM_TRAIN_KEY,
    STUDENT_FILE,
    PlatformJob,
    Student,
    read_student,
)
from finetune_cot.config.shared import DEFAULT_MODEL
from finetune_cot.errors import ArtifactError, ModelError, UsageError
from finetune_cot.models.registry import resolve
from finetune_cot.tasks.label_space import LabelSpace, labels_of

if TYPE_CHECKING:
    from finetune_cot.models.loading import LoadedModel

_PIECES, _PIECE_BYTES = 64, 1 << 20


@dataclass(frozen=True)
class Subject:
    """A model as completions know it, and where its weights lie."""

    base_model: str
    """Slug of the base model."""
    model_key: str
    """Key of the base model."""
    finetune_key: str | None = None
    train_key: str | None = None
    epoch: int | None = None
    template: str | None = None
    """Template that the student was trained on."""
    folder: Path | None = None
    """Folder of fine-tuned weights or of a whole model; None for a base model, and where there are none."""
    labels: LabelSpace | None = None
    """What a classifier chooses from; None of a language model."""
    job: PlatformJob | None = None
    """The platform's job that made the student; None of every other model."""
    platform: str | None = None
    """Which platform's form its training data had."""

    @property
    def is_student(self) -> bool:
        """Whether it is a fine-tuned model."""
        return self.finetune_key is not None

    def completion_id(self, completion_key: str, dataset_key: str) -> CompletionId:
        """Id of its completions on a data set."""
        return CompletionId(
            self.base_model, completion_key, dataset_key, self.finetune_key, self.train_key, self.epoch
        )


def base_subject(model_key: str) -> Subject:
    """A base model.

    Raises:
        UsageError: its name cannot be a key.
    """
    return Subject(model_slug(model_key), model_key)


def student_subject(
    model_key: str, finetune_key: str, train_key: str, run: int, epoch: int | None, saved_dir: Path
) -> Subject:
    """A student by its keys; without a folder where `train` has left nothing of it here.

    Raises:
        UsageError: a key cannot be one.
        ArtifactError: its metadata are torn, or name a run or an epoch that is not there.
    """
    base = model_slug(model_key)
    path = ModelMetadataId(base, finetune_key, train_key).path(saved_dir)
    subject = Subject(base, model_key, finetune_key, of_run(train_key, run), epoch)
    if not path.exists():
        return subject
    student = read_student(path)
    made = student.jobs if student.platform else student.checkpoints
    if str(run) not in made:
        raise ArtifactError(
            f"this student has no run {run}",
            where=path,
            remedy=f"it has: {', '.join(sorted(made, key=int))}; see --run",
        )
    if student.platform:
        key = None if subject.train_key == PLATFORM_TRAIN_KEY else subject.train_key
        return replace(
            subject,
            train_key=key,
            template=student.template,
            job=student.jobs[str(run)],
            platform=student.platform,
        )
    checkpoint = student.checkpoints[str(run)]
    folder = weights_folder(saved_dir / checkpoint, epoch)
    return replace(subject, template=student.template, folder=folder, labels=labels_of(student))


def folder_subject(folder: Path, model_key: str, epoch: int | None = None) -> Subject:
    """The model in a folder: a checkpoint's or an export's student, an adapter, or a whole model.

    Args:
        folder: A folder that `train` or `export-hf` wrote, or one in the form of PEFT or transformers.
        model_key: The base model of an adapter; the default one where the adapter is to say it.
        epoch: Which weights of a checkpoint; by default the last.

    Raises:
        ModelError: nothing of the kind is there.
        ArtifactError: its metadata are torn, or the weights of that epoch were not kept.
    """
    require_finetuned(folder)
    given = None if model_key == DEFAULT_MODEL else model_key
    home = next((place for place in _above(folder) if (place / STUDENT_FILE).is_file()), None)
    if home:
        return _told_subject(folder, home, read_student(home / STUDENT_FILE), given, epoch)
    weights = weights_folder(folder, epoch) if is_checkpoint(folder) else folder
    if (weights / "adapter_config.json").is_file():
        base = given or _recorded_base(weights)
        return Subject(model_slug(base), base, model_slug(str(folder.resolve())), "adapter", folder=weights)
    if not (weights / "config.json").is_file():
        raise ModelError(
            "is neither a checkpoint, nor an adapter, nor a model",
            where=folder,
            remedy="give a folder that `ftcot train` or `ftcot export-hf` wrote",
        )
    return Subject(model_slug(str(folder.resolve())), str(folder.resolve()), folder=weights)


def of_run(train_key: str, run: int) -> str:
    """The train key in a student's completions: those of later runs have their number in it."""
    return f"{train_key}_run_{run}" if run else train_key


def load_subject(subject: Subject, precision: str, device: str) -> "LoadedModel":
    """Load the model.

    Raises:
        ArtifactError: nothing is left of the student but its keys.
        ModelError: it is not there or cannot be loaded.
    """
    from finetune_cot.models.finetuned import load_finetuned
    from finetune_cot.models.loading import load_model

    if subject.folder:
        key = subject.model_key if subject.is_student else None
        return load_finetuned(subject.folder, model_key=key, precision=precision, device=device)
    require_weights(subject)
    return load_model(subject.model_key, precision=precision, device=device)


def require_weights(subject: Subject) -> None:
    """Refuse a student of which only the keys are known.

    Raises:
        ArtifactError: `train` has left nothing of it here.
        UsageError: a server has it.
    """
    if subject.job is not None:
        raise UsageError(
            "is where this student is", where=subject.job.base_url, remedy="give --teacher openai"
        )
    if subject.is_student and subject.folder is None:
        raise ArtifactError(
            f"there is no student of {subject.base_model} with the finetune key {subject.finetune_key!r}"
            f" and the train key {subject.train_key!r}",
            remedy="`ftcot train` makes one; see --finetune-key, --train-key and --run, or --load-model-dir",
        )


def weights_identity(subject: Subject) -> str | None:
    """What tells these weights from others of the same name; None where no model is at hand.

    A base model of the hub goes by its name; a folder and a student by what is in their files; a student of a
    platform by the server's name of it.
    """
    if subject.job is not None:
        return subject.job.model
    base = _base_identity(subject.model_key)
    if subject.folder is None:
        return None if subject.is_student else base
    own = fingerprint(subject.folder)
    on_base = (subject.folder / "adapter_config.json").is_file() or is_ensemble(subject.folder)
    return f"{own} on {base}" if on_base and base else own


def start_digest(folder: Path) -> str:
    """A digest of the weights that a training starts from."""
    return fingerprint(weights_folder(folder) if is_checkpoint(folder) else folder)


def fingerprint(folder: Path) -> str:
    """A digest of a folder's weights: of the names, sizes and content of its safetensors files.

    Those of an ensemble lie in folders within, and its description tells how much each of them says.
    Of files above 64 MiB only 64 pieces of 1 MiB, evenly spaced, are read.
    """
    digest = hashlib.sha256()
    files = folder.rglob("*.safetensors") if is_ensemble(folder) else folder.glob("*.safetensors")
    for path in sorted([*files, *folder.glob(ENSEMBLE)]):
        if path.name.startswith("trainer_state"):
            continue
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            for offset in sorted({size * piece // _PIECES for piece in range(_PIECES)}):
                file.seek(offset)
                digest.update(file.read(_PIECE_BYTES))
    return f"sha256:{digest.hexdigest()[:32]}"


def _told_subject(
    folder: Path, home: Path, student: Student, given: str | None, epoch: int | None
) -> Subject:
    """A student by the metadata in its folder; ``folder`` may be one of the folders within."""
    weights = folder
    train_key = of_run(student.train_key, _run_of(home, student))
    if folder == home and is_checkpoint(home):
        weights = weights_folder(home, epoch)
    elif folder.parent.name == EPOCHS:
        epoch = int(folder.name.rpartition("_")[2])
    elif folder != home and folder.name != LAST:
        train_key = f"{train_key}_{folder.name}"
    elif student.method != "full" and not (weights / "adapter_config.json").is_file():
        train_key = f"{train_key}_merged"  # which rounds differently, so that its answers may differ
    return Subject(
        base_model=model_slug(given or student.model_key),
        model_key=given or student.model_key,
        finetune_key=student.finetune_key,
        train_key=train_key,
        epoch=epoch,
        template=student.template,
        folder=weights,
        labels=labels_of(student),
    )


def _run_of(home: Path, student: Student) -> int:
    if len(student.checkpoints) == 1:
        return int(next(iter(student.checkpoints)))
    number = home.resolve().name.rpartition("_run_")[2]
    return int(number) if number.isdecimal() else 0


def _above(folder: Path) -> list[Path]:
    """The folder itself, and those that may be the home of a checkpoint's weights."""
    return [folder, folder.parent, folder.parent.parent]


def _recorded_base(adapter: Path) -> str:
    from finetune_cot.artifacts.files import read_json

    config = read_json(adapter / "adapter_config.json")
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(base, str) or not base:
        raise ModelError("does not name its base model", where=adapter, remedy="give it as --model-key")
    return base


def _base_identity(model_key: str) -> str | None:
    try:
        model = resolve(model_key)
    except ModelError:  # a model that is not here any more can still have completions
        return None
    if model.kind == "folder":
        return fingerprint(Path(model.location))
    return f"{model.kind}:{model.location}"
