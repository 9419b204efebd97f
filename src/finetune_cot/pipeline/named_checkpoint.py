"""Which checkpoint is meant: a folder, or the one trained last of those that options of ``train`` name."""

from pathlib import Path

from finetune_cot.artifacts.checkpoints import LAST
from finetune_cot.artifacts.keys import model_slug
from finetune_cot.artifacts.manifest import read_manifest
from finetune_cot.artifacts.students import STUDENT_FILE, read_student
from finetune_cot.config.export_hf import ExportHfConfig
from finetune_cot.config.options import flag
from finetune_cot.errors import ModelError, UsageError

_OF_TRAIN = ("data_path", "save_name", "train_key", "method", "lora_rank", "run")
"""Options that `train` keeps in a checkpoint's manifest as they were given."""


def named_checkpoint(config: ExportHfConfig) -> Path:
    """The folder of ``--load-model-dir``, or the checkpoint written last of those that other options name.

    Raises:
        UsageError: a folder and other options are given.
        ModelError: there is no such checkpoint.
        ArtifactError: what is known of a checkpoint is torn.
    """
    named = [flag(name) for name in ("model_key", "finetune_key", *_OF_TRAIN) if _given(config, name)]
    if config.load_model_dir is not None:
        if named:
            raise UsageError(
                f"names a checkpoint that {named[0]} names too",
                where="--load-model-dir",
                remedy="give one of them",
            )
        return config.load_model_dir
    folder = config.saved_dir / "checkpoints"
    states = sorted(folder.glob(f"*/{LAST}"), key=lambda last: (last.stat().st_mtime_ns, last))
    if not states:
        raise ModelError(
            "there is no checkpoint to export",
            where=folder,
            remedy="run `ftcot train` first, or name one with --load-model-dir",
        )
    fitting = [state.parent for state in states if not named or _is_named(state.parent, config)]
    if not fitting:
        raise ModelError(
            f"there is no such checkpoint to export: {', '.join(named)}",
            where=folder,
            remedy=f"name one of {', '.join(state.parent.name for state in states)}, with --load-model-dir",
        )
    return fitting[-1]


def _given(config: ExportHfConfig, name: str) -> bool:
    return getattr(config, name) is not None


def _is_named(checkpoint: Path, config: ExportHfConfig) -> bool:
    """Whether a checkpoint is what the options say; one that is not finished yet says nothing of itself."""
    if not (checkpoint / STUDENT_FILE).is_file() or not (checkpoint / "manifest.json").is_file():
        return False
    student, trained = read_student(checkpoint / STUDENT_FILE), read_manifest(checkpoint / "manifest.json")
    if _given(config, "model_key") and model_slug(str(config.model_key)) != model_slug(student.model_key):
        return False
    key = student.finetune_key
    if _given(config, "finetune_key") and str(config.finetune_key).replace("glue/", "glue-") != key:
        return False
    return all(
        getattr(config, name) == trained.config.get(name) for name in _OF_TRAIN if _given(config, name)
    )
