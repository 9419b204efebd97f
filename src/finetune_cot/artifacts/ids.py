"""Ids of everything under ``saved/``, and the paths that stand for them.

An id is a frozen dataclass; ``path(saved_dir)`` gives its path, and a ``parse`` function reads it back:
``parse_completion_path(id.path(saved_dir)) == id``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from finetune_cot.artifacts.keys import check_key
from finetune_cot.errors import ArtifactError

PLATFORM_SUFFIXES = {"custom": ".json", "openai": ".jsonl", "openai-chat": ".jsonl"}
"""File type of each platform's training data."""


@dataclass(frozen=True)
class CompletionId:
    """Completions of a base or fine-tuned model on a data set."""

    base_model: str
    """Slug of the base model."""
    completion_key: str
    dataset_key: str
    finetune_key: str | None = None
    train_key: str | None = None
    epoch: int | None = None

    def path(self, saved_dir: Path) -> Path:
        """Path of the completion file."""
        folder = f"B_{check_key(self.base_model)}__C_{check_key(self.completion_key)}"
        parts = [("F", self.finetune_key), ("T", self.train_key), ("D", self.dataset_key)]
        name = "__".join(f"{mark}_{check_key(key)}" for mark, key in parts if key is not None)
        epoch = "" if self.epoch is None else f"__E_{self.epoch:03d}"
        return saved_dir / "completion_data" / folder / f"{name}{epoch}.json"


@dataclass(frozen=True)
class FinetuneDataId:
    """Training data for one platform: ``custom``, ``openai`` or ``openai-chat``."""

    platform: str
    finetune_key: str

    def path(self, saved_dir: Path) -> Path:
        """Path of the training data."""
        name = f"F_{check_key(self.finetune_key)}{PLATFORM_SUFFIXES[self.platform]}"
        return saved_dir / "finetune_data" / f"P_{self.platform}" / name


@dataclass(frozen=True)
class ModelMetadataId:
    """What is known of a fine-tuned model."""

    base_model: str
    finetune_key: str
    train_key: str

    def path(self, saved_dir: Path) -> Path:
        """Path of the metadata."""
        name = f"F_{check_key(self.finetune_key)}__T_{check_key(self.train_key)}.json"
        return saved_dir / "model_metadata" / f"B_{check_key(self.base_model)}" / name


@dataclass(frozen=True)
class CheckpointId:
    """Adapters and optimizer state of a training run."""

    save_name: str
    run: int

    def path(self, saved_dir: Path) -> Path:
        """Path of the checkpoint's folder."""
        return saved_dir / "checkpoints" / f"{check_key(self.save_name)}_run_{self.run}"


@dataclass(frozen=True)
class ExportId:
    """A Hugging Face model directory."""

    save_name: str
    run: int

    def path(self, saved_dir: Path) -> Path:
        """Path of the model's folder."""
        return saved_dir / "exported_model" / f"{check_key(self.save_name)}_run_{self.run}"


@dataclass(frozen=True)
class GradientsId:
    """Projected gradients of every sample."""

    save_name: str
    dim: int
    run: int
    pretrained: bool = False

    def path(self, saved_dir: Path) -> Path:
        """Path of the gradients' folder."""
        name = f"{check_key(self.save_name)}_dim_{self.dim}_run_{self.run}"
        return saved_dir / "gradients" / (name + ("_pretrained" if self.pretrained else ""))


@dataclass(frozen=True)
class SampledIndicesId:
    """Subsets of tasks, one on each line."""

    save_name: str

    def path(self, saved_dir: Path) -> Path:
        """Path of the list."""
        return saved_dir / "sampled_indices" / f"{check_key(self.save_name)}.txt"


@dataclass(frozen=True)
class TaskGroupsId:
    """Groups of samples that stand as tasks."""

    save_name: str

    def path(self, saved_dir: Path) -> Path:
        """Path of the groups."""
        return saved_dir / "task_groups" / f"{check_key(self.save_name)}.json"


@dataclass(frozen=True)
class ResultsId:
    """Losses by subset of tasks, as measured by a run; with ``dim`` those that were estimated."""

    save_name: str
    dim: int | None = None
    run: int | None = None

    def path(self, saved_dir: Path) -> Path:
        """Path of the table."""
        dim = "" if self.dim is None else f"_dim_{self.dim}"
        run = "" if self.run is None else f"_run_{self.run}"
        return saved_dir / "results" / f"{check_key(self.save_name)}{dim}{run}" / "results.csv"


def save_name(source: str, model: str, method: str, suffix: str | None = None) -> str:
    """Name of what is trained: ``<data>_<model>[_<method>][_<suffix>]``.

    Args:
        source: ``Instruction``, ``Alpaca`` or a data set's key.
        model: Slug of the base model.
        method: Such as ``lora_r_4``; empty for full fine-tuning.
        suffix: What the user adds, if anything.
    """
    return check_key("_".join(part for part in (source, model, method, suffix) if part), "save name")


def parse_completion_path(path: Path) -> CompletionId:
    """Id of a completion file; also of the older order ``D_..__T_..__E_..`` of published files.

    Raises:
        ArtifactError: the path is not one of a completion file.
    """
    folder, name = _marked_keys(path.parent.name), _marked_keys(path.name.removesuffix(".json"))
    if folder.keys() != {"B", "C"} or "D" not in name or not name.keys() <= set("FTDE"):
        raise _not_an_id(
            path, "completion_data/B_<model>__C_<kind>/[F_..__][T_..__]D_<data set>[__E_..].json"
        )
    epoch = name.get("E")
    if epoch is not None and not re.fullmatch("[0-9]+", epoch):
        raise _not_an_id(path, "...__E_<number of the epoch>.json")
    return CompletionId(
        base_model=folder["B"],
        completion_key=folder["C"],
        dataset_key=name["D"],
        finetune_key=name.get("F"),
        train_key=name.get("T"),
        epoch=None if epoch is None else int(epoch),
    )


def parse_finetune_data_path(path: Path) -> FinetuneDataId:
    """Id of training data.

    Raises:
        ArtifactError: the path is not one of training data.
    """
    platform = path.parent.name.removeprefix("P_")
    if PLATFORM_SUFFIXES.get(platform) != path.suffix or not path.name.startswith("F_"):
        raise _not_an_id(path, "finetune_data/P_<platform>/F_<key>.json[l]")
    return FinetuneDataId(platform, path.name.removesuffix(path.suffix).removeprefix("F_"))


def parse_model_metadata_path(path: Path) -> ModelMetadataId:
    """Id of a fine-tuned model's metadata.

    Raises:
        ArtifactError: the path is not one of such metadata.
    """
    folder, name = _marked_keys(path.parent.name), _marked_keys(path.name.removesuffix(".json"))
    if folder.keys() != {"B"} or name.keys() != {"F", "T"}:
        raise _not_an_id(path, "model_metadata/B_<model>/F_<key>__T_<key>.json")
    return ModelMetadataId(folder["B"], name["F"], name["T"])


def parse_checkpoint_path(path: Path) -> CheckpointId:
    """Id of a checkpoint's folder.

    Raises:
        ArtifactError: the path is not one of a checkpoint.
    """
    return CheckpointId(*_name_and_run(path))


def parse_export_path(path: Path) -> ExportId:
    """Id of an exported model's folder.

    Raises:
        ArtifactError: the path is not one of an exported model.
    """
    return ExportId(*_name_and_run(path))


def parse_gradients_path(path: Path) -> GradientsId:
    """Id of a gradients folder.

    Raises:
        ArtifactError: the path is not one of gradients.
    """
    found = re.fullmatch(r"(.+)_dim_(\d+)_run_(\d+)(_pretrained)?", path.name, re.ASCII)
    if not found:
        raise _not_an_id(path, "gradients/<name>_dim_<d>_run_<run>[_pretrained]")
    return GradientsId(found[1], int(found[2]), int(found[3]), found[4] is not None)


def _name_and_run(path: Path) -> tuple[str, int]:
    found = re.fullmatch(r"(.+)_run_(\d+)", path.name, re.ASCII)
    if not found:
        raise _not_an_id(path, "<name>_run_<run>")
    return found[1], int(found[2])


def _marked_keys(name: str) -> dict[str, str]:
    """Keys of a name by their mark: ``D_gsm8k__T_lora`` -> ``{"D": "gsm8k", "T": "lora"}``."""
    parts = re.split(r"__(?=[A-Z]_)", name)
    return {part[0]: part[2:] for part in parts if part[1:2] == "_"}


def _not_an_id(path: Path, form: str) -> ArtifactError:
    return ArtifactError("is not named as it should be", where=path, remedy=f"expected {form}")
