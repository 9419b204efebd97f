"""Base models in 4 bits: what their layers hold, and that they compute the same whatever was before."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from finetune_cot.errors import ModelError
from finetune_cot.models.loading import LoadedModel, load_model
from finetune_cot.models.quantized import dequantize_into, is_quantized
from finetune_cot.training.lora import add_lora

pytestmark = pytest.mark.models

FAMILIES = ("llama", "gpt2", "t5")
BLOCK = 64
"""Weights that share a scale."""


def nf4() -> Tensor:
    """The 16 numbers of NF4, by the normal distribution's quantiles (Dettmers et al. 2023, equation 4)."""
    offset = 0.5 * (1 / 32 + 1 / 30)
    normal = torch.distributions.Normal(0.0, 1.0)
    above = normal.icdf(torch.linspace(1 - offset, 0.5, 9)[:-1])
    below = -normal.icdf(torch.linspace(1 - offset, 0.5, 8)[:-1])
    numbers = torch.cat([below, torch.zeros(1), above]).sort().values
    return numbers / numbers.max()


def load(folder: Path, **options: Any) -> LoadedModel:
    return load_model(str(folder), device="cpu", quantized=True, **options)


def logits(model: Any) -> Tensor:
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    target = {"labels": ids} if model.config.is_encoder_decoder else {}
    return model(input_ids=ids, **target).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_linear_layers_hold_the_nearest_numbers_of_nf4(family: str, wide_model_dirs: dict[str, Path]) -> None:
    folder = wide_model_dirs[family]
    plain, quantized = load_model(str(folder), device="cpu").model, load(folder).model
    assert is_quantized(quantized)
    assert not is_quantized(plain)
    before = {name: weight.clone() for name, weight in plain.named_parameters()}
    dequantize_into(plain, quantized)
    changed = [name for name, weight in plain.named_parameters() if not torch.equal(weight, before[name])]
    assert changed
    assert not any("embed" in name or "norm" in name or "head" in name or "wte" in name for name in changed)
    for name in changed:
        found, original = plain.get_parameter(name).detach(), before[name]
        if family == "gpt2":
            found, original = found.T, original.T
        blocks = original.reshape(-1, BLOCK)
        scales = blocks.abs().max(dim=1, keepdim=True).values
        nearest = nf4()[((blocks / scales)[..., None] - nf4()).abs().argmin(dim=-1)] * scales
        # Scales are quantized too, to within a hundredth or so.
        assert (found.reshape(-1, BLOCK) - nearest).abs().max() < 0.05 * scales.max()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_dequantized_model_computes_the_same(family: str, wide_model_dirs: dict[str, Path]) -> None:
    folder = wide_model_dirs[family]
    plain, quantized = load_model(str(folder), device="cpu").model, load(folder).model
    original = logits(plain)
    dequantize_into(plain, quantized)
    torch.testing.assert_close(logits(plain), logits(quantized), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(original, logits(quantized), rtol=1e-2, atol=1e-2)


def test_an_evaluation_between_two_steps_changes_no_gradient(wide_model_dirs: dict[str, Path]) -> None:
    """bitsandbytes repacks weights in evaluation on CPUs with bfloat16, unless it is kept from it."""
    model = add_lora(
        load(wide_model_dirs["llama"]).model,
        base_name="b",
        rank=2,
        alpha=4.0,
        dropout=0.0,
        targets=None,
        seed=0,
    )

    def gradients() -> list[Tensor]:
        trained = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
        return list(torch.autograd.grad(logits(model).square().mean(), trained))

    before = gradients()
    with torch.no_grad():
        first, second = logits(model.eval()), logits(model.eval())
    assert torch.equal(first, second)
    for one, other in zip(before, gradients(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16-true", torch.bfloat16), ("bf16-mixed", torch.float32)]
)
def test_what_is_not_quantized_is_of_the_precision(
    precision: str, dtype: torch.dtype, wide_model_dirs: dict[str, Path]
) -> None:
    model = load(wide_model_dirs["llama"], precision=precision).model
    rest = {weight.dtype for weight in model.parameters() if type(weight).__name__ != "Params4bit"}
    assert rest == {dtype}
    assert not any(weight.requires_grad for weight in model.parameters())
    layers = [layer for layer in model.modules() if type(layer).__name__ == "Linear4bit"]
    assert {layer.compute_dtype for layer in layers} == {torch.bfloat16}


def test_widths_that_bitsandbytes_gets_wrong_on_a_cpu_are_refused(tiny_llama_dir: Path) -> None:
    with pytest.raises(ModelError, match="q_proj has 32 inputs; in 4 bits on a CPU it needs a mult"):
        load(tiny_llama_dir)


def test_a_script_is_told_nothing_by_bitsandbytes() -> None:
    script = "import sys, finetune_cot.training.lora; assert 'bitsandbytes' in sys.modules"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (ran.stdout, ran.stderr) == ("", "")
