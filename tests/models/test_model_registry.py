from pathlib import Path

import pytest

from finetune_cot.errors import ModelError
from finetune_cot.models.registry import (
    DEFAULT_MODEL_KEY,
    ResolvedModel,
    check_available,
    model_aliases,
    resolve,
)


@pytest.mark.parametrize(
    ("key", "kind", "location"),
    [
        ("SmolLM2-135M-Instruct", "embedded", DEFAULT_MODEL_KEY),
        ("smollm2", "embedded", DEFAULT_MODEL_KEY),
        ("smollm2_135m_instruct", "embedded", DEFAULT_MODEL_KEY),
        ("gpt2_medium", "hub", "openai-community/gpt2-medium"),
        ("flan-t5-small", "hub", "google/flan-t5-small"),
        ("GPT-J-6B", "hub", "EleutherAI/gpt-j-6b"),
        ("google/gemma-2b", "hub", "google/gemma-2b"),
        ("qwen2.5-0.5b-instruct", "hub", "Qwen/Qwen2.5-0.5B-Instruct"),
    ],
)
def test_what_a_key_means(key: str, kind: str, location: str) -> None:
    assert resolve(key) == ResolvedModel(kind, location)  # type: ignore[arg-type]


def test_every_alias_resolves() -> None:
    for alias in model_aliases():
        assert resolve(alias).kind in ("embedded", "hub")
        assert resolve(alias.replace("-", "_")) == resolve(alias)


def test_a_path_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve(str(tmp_path / "models")).kind == "folder"
    assert resolve("./models/mine") == ResolvedModel("folder", "models/mine")
    assert resolve("models/mine").kind == "folder"


def test_an_alias_is_not_shadowed_by_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpt2").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("gpt2").kind == "hub"
    assert resolve("./gpt2").kind == "folder"


@pytest.mark.parametrize("key", ["../nowhere", "/nowhere/at/all", "./nowhere"])
def test_a_path_that_is_not_there(key: str) -> None:
    with pytest.raises(ModelError, match="no model folder is there"):
        resolve(key)


@pytest.mark.parametrize("key", ["", "a/b/c", "flan t5 small", "https://huggingface.co/gpt2"])
def test_what_can_be_no_model(key: str) -> None:
    with pytest.raises(ModelError, match="is no model"):
        resolve(key)


def test_the_right_name_is_suggested() -> None:
    with pytest.raises(ModelError, match="did you mean flan-t5-small"):
        resolve("flan t5-small")


def test_a_folder_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        check_available(str(tmp_path))
