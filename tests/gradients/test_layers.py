"""The rule of every layer type against autograd on one sample at a time."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

from finetune_cot.gradients.layers import RULES, RULES_BY_NAME, trainable_layers
from tests.gradients.families import build, only, with_lora

pytestmark = pytest.mark.models

SAMPLES, TOKENS = 3, 4


def layers() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    torch.manual_seed(0)
    x = torch.randn(SAMPLES, TOKENS, 6)
    ids = torch.tensor([[1, 2, 2, 0], [0, 0, 3, 1], [4, 4, 4, 4]])
    made: dict[str, tuple[nn.Module, torch.Tensor]] = {
        "Linear": (nn.Linear(6, 5), x),
        "Linear without bias": (nn.Linear(6, 5, bias=False), x),
        "Conv1D": (Conv1D(5, 6), x),
        "LayerNorm": (nn.LayerNorm(6), x),
        "RMSNorm": (nn.RMSNorm(6, eps=1e-5), x),
        "RMSNorm by default": (nn.RMSNorm(6), x),
        "LlamaRMSNorm": (LlamaRMSNorm(6), x),
        "GemmaRMSNorm": (GemmaRMSNorm(6), x),
        "T5LayerNorm": (T5LayerNorm(6), x),
        "Embedding": (nn.Embedding(5, 6), ids),
        "Embedding with padding": (nn.Embedding(5, 6, padding_idx=0), ids),
    }
    for layer, _ in made.values():
        for parameter in layer.parameters():
            nn.init.normal_(parameter)
    return made


@pytest.mark.parametrize("name", layers())
def test_a_rule_is_autograd_on_each_sample(name: str) -> None:
    layer, x = layers()[name]
    rules = RULES.get(type(layer)) or RULES_BY_NAME[type(layer).__name__]
    e = torch.randn(layer(x).shape)
    for parameter_name, parameter in layer.named_parameters():
        found = rules[parameter_name](layer, x, e)
        for place in range(SAMPLES):
            output: Any = layer(x[place : place + 1])
            (expected,) = torch.autograd.grad(output, parameter, e[place : place + 1])
            torch.testing.assert_close(found[place], expected, rtol=1e-4, atol=1e-5)


def test_a_lora_pair_is_two_linear_layers() -> None:
    found = trainable_layers(with_lora(build("gpt2")))
    assert {known.kind for known in found} == {"Linear"}
    assert all(known.rules for known in found)
    names = [name for known in found for name in known.names.values()]
    assert "base_model.model.transformer.h.0.attn.c_attn.lora_A.weight" in names


def test_a_shared_weight_has_one_name() -> None:
    found = trainable_layers(only(build("llama"), "embed_tokens"))
    assert [(known.kind, known.names["weight"]) for known in found] == [
        ("Embedding", "model.embed_tokens.weight"),
        ("Linear", "model.embed_tokens.weight"),
    ]


def test_a_subclass_has_no_rule() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    (known,) = trainable_layers(nn.Sequential(Doubled(2, 2)))
    assert known.rules is None
