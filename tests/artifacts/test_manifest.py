import json
from pathlib import Path

import pytest

from finetune_cot.artifacts.files import sha256_file
from finetune_cot.artifacts.manifest import (
    peak_memory_bytes,
    read_manifest,
    sidecar,
    start,
    to_dict,
    verify_outputs,
    write_manifest,
)
from finetune_cot.errors import ArtifactError


def test_a_manifest_says_what_made_an_artifact(tmp_path: Path) -> None:
    manifest = start("train", {"seed": 3, "lr": 1e-4}).manifest({"data.json": "ab"}, {"weights": "cd"})
    assert (manifest.command, manifest.seed, manifest.config["lr"]) == ("train", 3, 1e-4)
    assert manifest.inputs == {"data.json": "ab"}
    assert manifest.outputs == {"weights": "cd"}
    assert {"finetune_cot", "python", "torch", "transformers"} <= manifest.versions.keys()
    assert manifest.seconds >= 0
    assert 0 <= (manifest.cpu_seconds or 0) < 60
    assert 10 * 2**20 < manifest.peak_memory_bytes <= peak_memory_bytes()
    assert manifest.started.endswith("+00:00")
    write_manifest(tmp_path / "manifest.json", manifest)
    assert read_manifest(tmp_path / "manifest.json") == manifest


def test_versions_are_told_without_importing_the_packages() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from finetune_cot.artifacts.manifest import start; start('train', {}).manifest();"
        "print(*sorted({'torch', 'numpy'} & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.split() == []


def test_outputs_are_checked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    outputs = {"a.txt": sha256_file(tmp_path / "a.txt")}
    manifest = start("export-hf", {}).manifest(outputs=outputs)
    verify_outputs(tmp_path, manifest)
    (tmp_path / "a.txt").write_text("two")
    with pytest.raises(ArtifactError, match=r"a\.txt: is torn or was edited.*`ftcot export-hf` again"):
        verify_outputs(tmp_path, manifest)
    (tmp_path / "a.txt").unlink()
    with pytest.raises(ArtifactError, match=r"a\.txt: is missing; run `ftcot export-hf`"):
        verify_outputs(tmp_path, manifest)


def test_a_manifest_whose_tables_are_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**to_dict(start("train", {}).manifest()), "outputs": ["a"]}))
    with pytest.raises(ArtifactError, match="is no manifest"):
        read_manifest(path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"command": "train"}', json.dumps({"unknown": 1})])
def test_what_is_no_manifest_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json: is no manifest"):
        read_manifest(path)


def test_the_manifest_of_a_file_lies_beside_it() -> None:
    assert sidecar(Path("a/F_x.jsonl")) == Path("a/F_x.jsonl.manifest.json")
