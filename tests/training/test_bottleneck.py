"""Bottleneck adapters: where they sit, what is kept of them, and what else reads it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from finetune_cot.batches.collation import collate
from finetune_cot.errors import ModelError, UsageError
from finetune_cot.models.bottleneck import require_adapters
from finetune_cot.models.finetuned import load_finetuned
from finetune_cot.models.loading import LoadedModel
from finetune_cot.training.bottleneck import Bottleneck, add_bottleneck, resume_bottleneck
from finetune_cot.training.loss import mean_sample_losses
from finetune_cot.training.weights import read_weights, save_weights, trainable_weights
from tests.adapters_library import with_adapters, without_adapters
from tests.gradients.families import build
from tests.training.conftest import FAMILIES, Load, samples

pytestmark = pytest.mark.models

BOTH = Bottleneck(mh_adapter=True, output_adapter=True, reduction_factor=4, non_linearity="relu")


def adapted(loaded: LoadedModel, bottleneck: Bottleneck = BOTH, seed: int = 0) -> Any:
    return add_bottleneck(loaded.model, bottleneck, base_name=loaded.base_name, seed=seed)


def losses(model: Any, loaded: LoadedModel) -> torch.Tensor:
    return mean_sample_losses(model.eval(), collate(samples(loaded, 3), loaded.tokenizer.pad_token_id))


@with_adapters
@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_adapters_train_and_they_begin_as_almost_nothing(family: str, load: Load) -> None:
    loaded = load(family)
    before = losses(loaded.model, loaded)
    weights = trainable_weights(adapted(loaded))
    # Two adapters a block, in T5 on either side; D and its bias, U and its bias; 32 numbers to 8.
    count = 8 if family == "t5" else 4
    assert sum(weight.numel() for weight in weights.values()) == count * (2 * 32 * 8 + 40)
    assert all(".adapters.finetune_cot.adapter_" in name for name in weights)
    torch.testing.assert_close(losses(loaded.model, loaded), before, rtol=0.05, atol=0.05)


@with_adapters
@pytest.mark.parametrize(
    ("place", "inside"), [("mh_adapter", "output_adapters"), ("output_adapter", "attention_adapters")]
)
def test_one_place_alone(place: str, inside: str, load: Load) -> None:
    names = trainable_weights(adapted(load("llama"), replace(BOTH, **{place: False})))
    assert len(names) == 2 * 4
    assert all(f".{inside}." in name for name in names)


@with_adapters
def test_the_seed_decides_the_start_and_nothing_else_is_touched(load: Load) -> None:
    state = torch.random.get_rng_state()
    first, same, other = (trainable_weights(adapted(load("llama"), seed=seed)) for seed in (1, 1, 2))
    name = next(name for name in first if "adapter_up.weight" in name)
    assert torch.equal(first[name], same[name])
    assert not torch.equal(first[name], other[name])
    assert torch.equal(state, torch.random.get_rng_state())


@with_adapters
@pytest.mark.parametrize("family", FAMILIES)
def test_plain_adapters_and_we_read_what_was_saved(family: str, load: Load, tmp_path: Path) -> None:
    import adapters

    loaded = load(family)
    model = adapted(loaded)
    with torch.no_grad():
        for weight in trainable_weights(model).values():
            weight.add_(0.1)
    expected = losses(model, loaded)
    save_weights(model, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter.safetensors"}
    assert read_weights(tmp_path).keys() == trainable_weights(model).keys()
    kind = AutoModelForSeq2SeqLM if family == "t5" else AutoModelForCausalLM
    plain = kind.from_pretrained(loaded.base_name)
    adapters.init(plain)
    plain.load_adapter(str(tmp_path), set_active=True, use_safetensors=True)
    torch.testing.assert_close(losses(plain, loaded), expected)
    ours = load_finetuned(tmp_path, device="cpu")
    assert ours.base_name == loaded.base_name
    torch.testing.assert_close(losses(ours.model, loaded), expected)


@with_adapters
def test_a_loaded_adapter_trains_again_as_what_it_was(load: Load, tmp_path: Path) -> None:
    model = adapted(load("llama"))
    save_weights(model, tmp_path)
    again = load_finetuned(tmp_path, device="cpu").model
    assert not trainable_weights(again)
    for change in ({"non_linearity": "gelu"}, {"output_adapter": False}, {"reduction_factor": 8}):
        ((name, value),) = change.items()
        told = rf"--{name.replace('_', '-')} .*, not {value}"
        with pytest.raises(ModelError, match=told):
            resume_bottleneck(again, replace(BOTH, **change), where=tmp_path)
    resume_bottleneck(again, BOTH, where=tmp_path)
    assert trainable_weights(again).keys() == trainable_weights(model).keys()
    save_weights(again, tmp_path / "again")
    first, second = (
        (folder / "adapter_config.json").read_text() for folder in (tmp_path, tmp_path / "again")
    )
    assert first == second


@with_adapters
def test_a_torn_or_foreign_adapter_is_told(load: Load, tmp_path: Path, tiny_gpt2_dir: Path) -> None:
    save_weights(adapted(load("llama")), tmp_path)
    path = tmp_path / "adapter_config.json"
    described = path.read_text()
    path.write_text(described.replace(load("llama").base_name, str(tiny_gpt2_dir)))
    with pytest.raises(ModelError, match=r"an adapter of another model than .*: \d+ missing"):
        load_finetuned(tmp_path, device="cpu")
    path.write_text(described)
    (tmp_path / "adapter.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"adapter\.safetensors: the weights are missing or torn"):
        load_finetuned(tmp_path, device="cpu")


@with_adapters
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gpt2", "t5"])
def test_generation_reads_what_came_before_from_the_cache(family: str) -> None:
    model = add_bottleneck(build(family), BOTH, base_name="tiny", seed=0).eval()
    prompt = torch.arange(5, 12)[None]
    told: dict[str, Any] = {
        "attention_mask": torch.ones_like(prompt),
        "max_new_tokens": 8,
        "do_sample": False,
    }
    cached, anew = (model.generate(prompt, **told, use_cache=use_cache) for use_cache in (True, False))
    assert torch.equal(cached, anew)


@with_adapters
def test_a_family_that_the_library_does_not_know(load: Load) -> None:
    import transformers

    config = transformers.GPTNeoXConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    loaded = replace(load("gpt2"), model=transformers.AutoModelForCausalLM.from_config(config))
    with pytest.raises(ModelError, match=r"adapters library cannot adapt a gpt_neox: .*; use --method lora"):
        adapted(loaded)


def test_no_place_leaves_nothing_to_train() -> None:
    with pytest.raises(UsageError, match="leaves no adapter to train"):
        replace(BOTH, mh_adapter=False, output_adapter=False)


@without_adapters
def test_without_the_library_one_line_says_what_to_install() -> None:
    told = r"--method adapter: bottleneck adapters need .*pip install 'finetune-cot\[adapters\]'"
    with pytest.raises(UsageError, match=told):
        require_adapters("--method adapter")
