"""The layout in which the reasoning-teacher repository publishes its data and completions."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from finetune_cot.artifacts.completions import read_completions
from finetune_cot.artifacts.ids import parse_completion_path
from finetune_cot.artifacts.keys import check_key
from finetune_cot.errors import DataError, FtcotError
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS
from finetune_cot.tasks.reasoning import dataset_path, load_dataset_file
from finetune_cot.tasks.splits import read_split, split_path
from finetune_cot.tasks.text_files import read_json


@dataclass(frozen=True)
class PublishedFile:
    """A file of the layout that was found to be whole."""

    path: Path
    destination: Path
    """Where it belongs in our data folder or under ``saved/``."""
    samples: int
    """Samples, if it is a data set."""
    completions: int
    """Completions, if it is a completion file."""


def is_published(name: str) -> bool:
    """Whether a path within a folder or an archive is that of a file of the layout."""
    return _kind(PurePosixPath(name)) is not None


def published_files(root: Path, source: Path, data_dir: Path, saved_dir: Path) -> list[PublishedFile]:
    """Every file of the layout below a folder, checked, in order of their paths.

    Args:
        root: The folder.
        source: What to call the folder in errors, such as the archive that it was unpacked from.
        data_dir: Where data sets, splits and few-shot prompts belong.
        saved_dir: Where completions belong.

    Raises:
        DataError: there is none, or one is torn, of another form or wrongly named.
    """
    paths = [path for path in sorted(root.rglob("*.json")) if is_published(path.relative_to(root).as_posix())]
    if not paths:
        raise DataError(
            "holds no file of the published layout",
            where=source,
            remedy="expected dataset/*.json, split/*.json, few_shot_cot_prompts.json or B_*__C_*/*.json",
        )
    try:
        return [_checked(path, root, data_dir, saved_dir) for path in paths]
    except FtcotError as error:
        where = (error.where or str(source)).replace(str(root), str(source))
        raise DataError(error.what, where=where, remedy=error.remedy) from None


def _kind(path: PurePosixPath) -> str | None:
    folder = path.parent.name
    if path.suffix != ".json" or path.name.startswith("."):
        return None
    if path.name == "few_shot_cot_prompts.json":
        return "few-shot prompts"
    if folder == "dataset" or (folder in ("", "data") and path.stem in PUBLISHED_FORMATS):
        return "data set"
    if folder == "split":
        return "split"
    return "completions" if re.fullmatch("B_.+__C_.+", folder) else None


def _checked(path: Path, root: Path, data_dir: Path, saved_dir: Path) -> PublishedFile:
    kind = _kind(PurePosixPath(path.relative_to(root).as_posix()))
    if kind == "data set":
        dataset = load_dataset_file(path, path.stem)
        return PublishedFile(path, dataset_path(dataset.key, data_dir), len(dataset.samples), 0)
    if kind == "split":
        key, _, split_key = path.stem.partition("__")
        read_split(path)
        return PublishedFile(path, split_path(check_key(key), check_key(split_key), data_dir), 0, 0)
    if kind == "completions":
        completions = read_completions(path).completions
        return PublishedFile(path, parse_completion_path(path).path(saved_dir), 0, len(completions))
    if not isinstance(read_json(path), dict):
        raise DataError("is no object by data set", where=path)
    return PublishedFile(path, data_dir / path.name, 0, 0)
