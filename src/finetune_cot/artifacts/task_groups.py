"""Groups of samples that stand as tasks in place of those that the data name, such as clusters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.files import read_json, sha256_json, write_json_atomic
from finetune_cot.artifacts.keys import check_key
from finetune_cot.artifacts.manifest import Manifest, to_dict
from finetune_cot.errors import ArtifactError

SCHEMA_VERSION = 1
_REMEDY = "make it anew with `ftcot select --group-by cluster --overwrite`"


@dataclass(frozen=True)
class TaskGroups:
    """Which group each sample belongs to."""

    name: str
    """Added to the names of what is made of these groups."""
    data: str
    """SHA-256 of the samples that were grouped."""
    groups: tuple[str, ...]
    """Sorted names; a group's number as a task is its place here."""
    numbers: Mapping[str, Mapping[int, int]] = field(repr=False)
    """Number of the group, by the sample's own task and index; answers to one question are of one group."""

    @property
    def digest(self) -> str:
        """SHA-256 of which sample is in which group."""
        return sha256_json([self.data, self.groups, self.numbers])

    def number(self, task: str, sample_index: int) -> int | None:
        """Number of a sample's group; None for a sample that is in none."""
        return self.numbers.get(task, {}).get(sample_index)


def write_task_groups(path: Path, groups: TaskGroups, manifest: Manifest, overwrite: bool) -> None:
    """Write groups, unless they are there already.

    Raises:
        ArtifactError: other groups are there and ``overwrite`` is false, or the file cannot be written.
    """
    if path.exists() and not overwrite:
        if read_task_groups(path) != groups:
            raise ArtifactError(
                "holds other groups", where=path, remedy="give --overwrite, or another --num-clusters"
            )
        return
    numbers = {
        task: {str(index): number for index, number in of.items()} for task, of in groups.numbers.items()
    }
    content = {"name": groups.name, "data": groups.data, "groups": list(groups.groups), "samples": numbers}
    signed = {"schema_version": SCHEMA_VERSION, **content, "manifest": to_dict(manifest)}
    write_json_atomic(path, {**signed, "sha256": sha256_json(signed)})


def read_task_groups(path: Path) -> TaskGroups:
    """Read groups.

    Raises:
        ArtifactError: the file is missing, torn, edited, or holds no groups.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ArtifactError(
            f"holds no groups of samples of version {SCHEMA_VERSION}", where=path, remedy=_REMEDY
        )
    signed = {name: value for name, value in content.items() if name != "sha256"}
    if content.get("sha256") != sha256_json(signed):
        raise ArtifactError("was edited or is torn: its checksum does not fit", where=path, remedy=_REMEDY)
    return _groups(content, path)


def _groups(content: Mapping[str, Any], path: Path) -> TaskGroups:
    try:
        numbers = {
            task: {int(index): int(number) for index, number in of.items()}
            for task, of in content["samples"].items()
        }
        return TaskGroups(
            check_key(content["name"], "name of the groups"),
            content["data"],
            tuple(content["groups"]),
            numbers,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ArtifactError("holds no groups of samples", where=path, remedy=_REMEDY) from None
