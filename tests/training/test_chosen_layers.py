"""Which weights train by the names of their layers."""

from typing import Any

import pytest

from finetune_cot.errors import UsageError
from finetune_cot.training.chosen_layers import choose_layers
from tests.training.conftest import Load

pytestmark = pytest.mark.models


def trained(model: Any) -> set[str]:
    return {name.removesuffix(".weight") for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize(
    ("family", "patterns", "expected"),
    [
        ("llama", ["model.layers.1.mlp.down_proj"], {"model.layers.1.mlp.down_proj"}),
        ("llama", ["*.q_proj"], {f"model.layers.{block}.self_attn.q_proj" for block in (0, 1)}),
        ("llama", ["1.self_attn.[q]_*", "norm"], {"model.norm", "model.layers.1.self_attn.q_proj"}),
        ("llama", ["lm_head"], {"model.embed_tokens"}),  # they are tied
        ("t5", ["EncDecAttention.o"], {f"decoder.block.{b}.layer.1.EncDecAttention.o" for b in (0, 1)}),
    ],
)
def test_layers_by_name(family: str, patterns: list[str], expected: set[str], load: Load) -> None:
    assert trained(choose_layers(load(family).model, patterns)) == expected


@pytest.mark.parametrize(
    ("family", "blocks"),
    [
        ("llama", ("model.layers.1.",)),
        ("gpt2", ("transformer.h.1.",)),
        ("t5", ("encoder.block.1.", "decoder.block.1.")),
    ],
)
def test_the_last_blocks(family: str, blocks: tuple[str, ...], load: Load) -> None:
    model = choose_layers(load(family).model, ["last-1"])
    for name, weight in model.named_parameters():
        assert weight.requires_grad == name.startswith(blocks)


def test_without_patterns_everything_trains(load: Load) -> None:
    assert all(weight.requires_grad for weight in choose_layers(load("gpt2").model, None).parameters())


@pytest.mark.parametrize("pattern", ["q_prjo", "proj", "layers.7", "last-0"])
def test_a_name_that_is_none(pattern: str, load: Load) -> None:
    with pytest.raises(UsageError, match=rf"no layer of this model is called {pattern}; try last-2, .*_proj"):
        choose_layers(load("llama").model, [pattern])
