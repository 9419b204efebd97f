import shutil
from pathlib import Path

import pytest

from finetune_cot.errors import ModelError
from finetune_cot.models.hub import fetch_model
from finetune_cot.models.loading import load_model
from finetune_cot.models.registry import check_available

pytestmark = pytest.mark.models


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no network, whatever this machine has; gives the cache."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_model_that_is_not_there_is_told_at_once(offline: Path) -> None:
    with pytest.raises(ModelError, match="not in the local cache") as error:
        fetch_model("somebody/some-model")
    assert str(error.value).startswith("somebody/some-model: ")
    assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="not in the local cache"):
        check_available("google/gemma-2b")
    with pytest.raises(ModelError, match=r"did you mean gpt2\? or else go online"):
        check_available("gtp2")


def test_a_cached_model_needs_no_network(offline: Path, tiny_llama_dir: Path) -> None:
    home = offline / "models--somebody--some-model"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("a" * 40)
    shutil.copytree(tiny_llama_dir, home / "snapshots" / ("a" * 40))
    assert (fetch_model("somebody/some-model") / "model.safetensors").is_file()
    assert load_model("somebody/some-model", device="cpu").base_name == "somebody/some-model"
