import json
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.manifest import start
from finetune_cot.artifacts.task_groups import TaskGroups, read_task_groups, write_task_groups
from finetune_cot.errors import ArtifactError

GROUPS = TaskGroups(
    "clusters_2", "abc", ("cluster_00", "cluster_01"), {"sums": {3: 1, 97467: 0}, "words": {3: 0}}
)


def write(path: Path, groups: TaskGroups = GROUPS, overwrite: bool = False) -> None:
    write_task_groups(path, groups, start("select", {}).manifest(), overwrite)


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "g.json")
    found = read_task_groups(tmp_path / "g.json")
    assert found == GROUPS
    assert [found.number("sums", 3), found.number("words", 3), found.number("sums", 4)] == [1, 0, None]
    assert found.number("nothing", 3) is None


def test_other_groups_are_replaced_only_when_told_so(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    write(path)
    before = path.read_bytes()
    write(path)
    assert path.read_bytes() == before
    other = replace(GROUPS, data="def")
    with pytest.raises(ArtifactError, match="holds other groups; give --overwrite"):
        write(path, other)
    write(path, other, overwrite=True)
    assert read_task_groups(path) == other


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is torn or no JSON"),
        ("[]", "holds no groups of samples of version 1"),
        ('{"schema_version": 2}', "holds no groups of samples of version 1"),
        ('{"schema_version": 1, "name": "x"}', "was edited or is torn"),
    ],
)
def test_what_holds_no_groups(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "g.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=message):
        read_task_groups(path)


def test_a_torn_and_an_edited_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    write(path)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match=r"g\.json.*is torn"):
        read_task_groups(path)
    content = json.loads(whole)
    content["samples"]["sums"]["3"] = 0
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="its checksum does not fit; make it anew"):
        read_task_groups(path)
