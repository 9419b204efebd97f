"""Adapters: where they sit, and that they begin as nothing."""

from typing import Any

import pytest
import torch

from finetune_cot.batches.collation import collate
from finetune_cot.errors import UsageError
from finetune_cot.models.loading import LoadedModel
from finetune_cot.training.lora import add_lora, resume_lora
from finetune_cot.training.loss import sample_losses
from tests.training.conftest import FAMILIES, Load, samples

pytestmark = pytest.mark.models


def adapted(loaded: LoadedModel, **changes: Any) -> Any:
    options = {"base_name": "base", "rank": 2, "alpha": 8.0, "dropout": 0.0, "targets": None, "seed": 0}
    return add_lora(loaded.model, **(options | changes))


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("llama", {"q_proj", "k_proj", "v_proj"}),
        ("gpt2", {"c_attn", "c_proj", "c_fc"}),
        ("t5", {"q", "k", "v"}),
    ],
)
def test_only_the_matrices_of_the_usual_modules_train(family: str, targets: set[str], load: Load) -> None:
    model = adapted(load(family))
    trainable = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trainable} == targets
    assert all("lora_A" in name or "lora_B" in name for name in trainable)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_adapter_changes_nothing(family: str, load: Load) -> None:
    loaded = load(family)
    batch = collate(samples(loaded, 3), loaded.tokenizer.pad_token_id)
    before, _ = sample_losses(loaded.model, batch)
    after, _ = sample_losses(adapted(loaded), batch)
    torch.testing.assert_close(before, after)


def test_the_seed_decides_the_start_and_nothing_else_is_touched(load: Load) -> None:
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first, same, other = (dict(adapted(load("llama"), seed=seed).named_parameters()) for seed in (1, 1, 2))
    name = next(name for name in first if "lora_A" in name)
    assert torch.equal(first[name], same[name])
    assert not torch.equal(first[name], other[name])
    assert torch.equal(state, torch.random.get_rng_state())


def test_modules_by_name_and_a_name_that_is_none(load: Load) -> None:
    model = adapted(load("llama"), targets=["o_proj"])
    assert all("o_proj" in name for name, weight in model.named_parameters() if weight.requires_grad)
    with pytest.raises(
        UsageError, match=r"no module of this model is called nope; its modules are: .*q_proj"
    ):
        adapted(load("llama"), targets=["nope"])
    everywhere = adapted(load("llama"), targets=["all-linear"])
    assert any("up_proj.lora_A" in name for name, _ in everywhere.named_parameters())


def test_a_loaded_adapter_trains_again_at_its_own_rank(load: Load) -> None:
    model = adapted(load("llama"), rank=2)
    model.requires_grad_(False)
    with pytest.raises(UsageError, match="has rank 2, not 4; give --lora-rank 2"):
        resume_lora(model, rank=4, where="folder")
    trainable = [
        n for n, weight in resume_lora(model, rank=2, where="f").named_parameters() if weight.requires_grad
    ]
    assert trainable
    assert all("lora_" in name for name in trainable)
