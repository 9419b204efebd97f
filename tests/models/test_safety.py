import json
import shutil
from pathlib import Path

import pytest

from finetune_cot.errors import ModelError
from finetune_cot.models import safety
from finetune_cot.models.safety import check_model_folder, weight_files

pytestmark = pytest.mark.models


@pytest.fixture
def folder(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama_dir, tmp_path / "llama"))


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_an_ordinary_folder_passes(folder: Path) -> None:
    check_model_folder(folder)
    assert weight_files(folder) == (folder / "model.safetensors",)


@pytest.mark.parametrize(
    "values",
    [
        {"auto_map": {"AutoConfig": "evil.Config"}},
        {"text_config": {"_attn_implementation_internal": "somebody/kernel"}},
        {"parts": [{"auto_map": {}}]},
    ],
)
def test_code_in_the_configuration_is_refused_where_it_would_run(
    folder: Path, values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(folder / "config.json", **values)
    monkeypatch.setattr(safety, "version", lambda _: "4.57.6")
    with pytest.raises(ModelError, match="names code to run"):
        check_model_folder(folder)
    monkeypatch.setattr(safety, "version", lambda _: "5.24.0")
    check_model_folder(folder)


def test_code_in_the_tokenizer_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    monkeypatch.setattr(safety, "version", lambda _: "5.2.0")
    with pytest.raises(ModelError, match="auto_map"):
        check_model_folder(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="only safetensors are read"):
        check_model_folder(folder)
    check_model_folder(folder, weights=False)


def test_a_missing_shard_is_named(folder: Path) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    (folder / "model.safetensors").rename(folder / first)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": first, "b": second}}))
    with pytest.raises(ModelError, match=second):
        check_model_folder(folder)
    (folder / second).touch()
    assert [file.name for file in weight_files(folder)] == [first, second]


def test_an_index_never_leads_out_of_the_folder(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(ModelError, match=r"missing: secret\.safetensors"):
        weight_files(folder)


@pytest.mark.parametrize("content", ["", '{"model_type": "lla', "[1]"])
def test_a_torn_configuration_is_named(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        check_model_folder(folder)
