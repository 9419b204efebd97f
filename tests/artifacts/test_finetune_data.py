import json
from dataclasses import replace
from pathlib import Path

import pytest

from finetune_cot.artifacts.finetune_data import (
    FinetuneRow,
    read_finetune_json,
    refuse_other_json,
    write_finetune_json,
    write_finetune_lines,
)
from finetune_cot.artifacts.manifest import read_manifest, sidecar, start
from finetune_cot.errors import ArtifactError

ROWS = (
    FinetuneRow(3, 0, "sums", "1 + 1?", "One and one is two.", "2"),
    FinetuneRow(4, 1, "sums", "Zwölf\n- 2?", None, "10"),
)
METADATA = {"teacher": "davinci", "counts": {"duplicates": 1}}
MANIFEST = start("build-finetune-data", {}).manifest()


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "F_x.json"
    assert write_finetune_json(path, ROWS, METADATA, MANIFEST, overwrite=False)
    data = read_finetune_json(path)
    assert data.rows == ROWS
    assert data.metadata["teacher"] == "davinci"
    assert data.metadata["manifest"]["command"] == "build-finetune-data"


def test_the_same_is_not_written_again_and_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "F_x.json"
    write_finetune_json(path, ROWS, METADATA, MANIFEST, overwrite=False)
    before = path.read_bytes()
    later = start("build-finetune-data", {"seed": 1}).manifest()
    assert not write_finetune_json(path, ROWS, {**METADATA, "counts": {}}, later, overwrite=False)
    with pytest.raises(ArtifactError, match="other training data of this name is there; use --overwrite"):
        write_finetune_json(path, ROWS[:1], METADATA, MANIFEST, overwrite=False)
    with pytest.raises(ArtifactError, match="other training data"):
        write_finetune_json(path, ROWS, {"teacher": "gemma"}, MANIFEST, overwrite=False)
    assert path.read_bytes() == before
    assert write_finetune_json(path, ROWS[:1], METADATA, MANIFEST, overwrite=True)
    assert read_finetune_json(path).rows == ROWS[:1]
    assert not refuse_other_json(path, ROWS[:1], METADATA)


def test_lines_and_their_manifest(tmp_path: Path) -> None:
    path = tmp_path / "F_x.jsonl"
    lines = [{"prompt": "ü\n", "completion": " 2 END"}, {"prompt": "b", "completion": "c"}]
    assert write_finetune_lines(path, lines, MANIFEST, overwrite=False)
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines
    assert read_manifest(sidecar(path)) == MANIFEST
    assert not write_finetune_lines(path, lines, MANIFEST, overwrite=False)
    with pytest.raises(ArtifactError, match="other training data"):
        write_finetune_lines(path, lines[:1], MANIFEST, overwrite=False)
    assert write_finetune_lines(path, lines[:1], MANIFEST, overwrite=True)


def test_an_edit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "F_x.json"
    write_finetune_json(path, ROWS, METADATA, MANIFEST, overwrite=False)
    path.write_text(path.read_text().replace("One and one", "Two and none"))
    with pytest.raises(ArtifactError, match=r"F_x\.json: was edited or is torn"):
        read_finetune_json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [', "is torn or no JSON"),
        ('{"data": {}}', "has no list of `data`"),
        ('{"data": [], "metadata": 1}', "are no object"),
        ('{"data": [{"sample_index": 0}]}', "row 0: its 'completion_index' is missing or of the wrong type"),
        ('{"data": [3]}', "row 0: its 'sample_index'"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "F_x.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=message):
        read_finetune_json(path)


def test_a_row_of_answers_alone_has_no_rationale(tmp_path: Path) -> None:
    path = tmp_path / "F_x.json"
    rows = [replace(ROWS[0], reasoning=None)]
    write_finetune_json(path, rows, {}, MANIFEST, overwrite=False)
    assert json.loads(path.read_text())["data"][0]["reasoning"] is None
