"""Which completions are a student's, where it is known by them alone: published ones, and a platform's."""

from dataclasses import replace
from glob import escape
from pathlib import Path

from finetune_cot.artifacts.completions import completion_files, find_completions
from finetune_cot.artifacts.ids import parse_model_metadata_path
from finetune_cot.artifacts.keys import model_slug
from finetune_cot.errors import UsageError
from finetune_cot.pipeline.subject import Subject


def usual_train_key(model_key: str, finetune_key: str, saved_dir: Path) -> str:
    """The train key where none is given: that of the only student of these data, or else lora.

    Raises:
        UsageError: the model's name cannot be a key.
    """
    folder = saved_dir / "model_metadata" / f"B_{model_slug(model_key)}"
    ids = [parse_model_metadata_path(path) for path in folder.glob(f"F_{escape(finetune_key)}__T_*.json")]
    return ids[0].train_key if len(ids) == 1 else "lora"


def own_completion_key(subject: Subject, dataset_key: str, saved_dir: Path) -> str:
    """The completion key where none is given: the template of a student, else zs_cot.

    Of a student that is known by its completions alone, the key of those.

    Raises:
        UsageError: it has completions of several keys.
    """
    if subject.template or subject.folder or not subject.is_student:
        return subject.template or "zs_cot"
    keys = {
        id.completion_key
        for folder in (saved_dir / "completion_data").glob(f"B_{subject.base_model}__C_*")
        for _, id in completion_files(folder)
        if (id.finetune_key, id.dataset_key) == (subject.finetune_key, dataset_key)
    }
    if len(keys) > 1:
        raise UsageError(
            f"this student has completions of {', '.join(sorted(keys))}",
            remedy="choose one: --completion-key",
        )
    return keys.pop() if keys else "zs_cot"


def locate(
    subject: Subject, completion_key: str, dataset_key: str, saved_dir: Path
) -> tuple[Path | None, Subject]:
    """The completion file, and whose it is.

    Of a student that was not trained here, completions may be filed without a train key, as those of a
    platform, or by epoch, of which the last one counts.
    """
    id = subject.completion_id(completion_key, dataset_key)
    found = find_completions(id, saved_dir)
    if found or not subject.is_student or subject.folder or subject.job:
        return found, subject
    platform = replace(subject, train_key=None)
    found = find_completions(platform.completion_id(completion_key, dataset_key), saved_dir)
    if found or subject.epoch is not None:
        return found, platform if found else subject
    epochs = {
        other.epoch: path
        for path, other in completion_files(id.path(saved_dir).parent)
        if other.epoch is not None and replace(other, epoch=None) == id
    }
    last = max(epochs, default=None)
    return (None, subject) if last is None else (epochs[last], replace(subject, epoch=last))
