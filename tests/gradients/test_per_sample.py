"""One pass over a batch gives what autograd gives one sample at a time."""

from typing import Any

import pytest
import torch
from torch import nn

from finetune_cot.batches.collation import collate
from finetune_cot.batches.encoding import IGNORED, EncodedExample
from finetune_cot.errors import DataError, ModelError
from finetune_cot.gradients.per_sample import per_sample_gradients, recording
from finetune_cot.gradients.projection import Projection, Projector
from finetune_cot.training.bottleneck import Bottleneck, add_bottleneck
from tests.adapters_library import with_adapters
from tests.gradients.families import (
    ENCODER_DECODERS,
    FAMILIES,
    PAD,
    batch_of,
    build,
    only,
    padded_left,
    samples,
    with_lora,
)
from tests.gradients.reference import Exact, margin_and_loss, one_by_one, relative_error

pytestmark = pytest.mark.models

QUANTITIES = ("margin", "loss")
DECODERS = tuple(family for family in FAMILIES if family not in ENCODER_DECODERS)


def assert_as_one_by_one(model: Any, quantity: Any = "margin", slow: tuple[str, ...] = ()) -> None:
    with recording(model, Exact(model)) as record:
        found = record(batch_of(model), quantity)
        assert record.slow_layers == slow
    assert relative_error(found.features, one_by_one(model, samples(model), quantity)) < 1e-4


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_lora(family: str, quantity: str) -> None:
    assert_as_one_by_one(with_lora(build(family)), quantity)


@pytest.mark.parametrize("family", FAMILIES)
def test_margins_and_losses_are_those_of_single_samples(family: str) -> None:
    model = with_lora(build(family))
    found = per_sample_gradients(model, batch_of(model), Exact(model), "loss")
    margins, losses = zip(*(margin_and_loss(model, sample) for sample in samples(model)), strict=True)
    torch.testing.assert_close(found.margins.double(), torch.stack(margins), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.losses.double(), torch.stack(losses), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "slow"),
    [
        ("llama", ()),
        ("mistral", ()),
        ("qwen2", ()),
        ("gemma", ("GemmaTextScaledWordEmbedding",)),
        ("gpt2", ("Embedding",)),
        ("gpt_neo", ("Embedding",)),
        ("t5", ("Embedding",)),
        ("flan_t5", ("Embedding",)),
    ],
)
def test_whole_models(family: str, slow: tuple[str, ...]) -> None:
    """Positions are embedded once for a batch, so that their gradients take the slow path."""
    model = build(family)
    slow = tuple(name for name in slow if any(type(part).__name__ == name for part in model.modules()))
    assert_as_one_by_one(model, "margin", slow)


@pytest.mark.parametrize(
    ("family", "parts"),
    [
        ("llama", ("layers.1.mlp", "layers.1.input_layernorm")),
        ("gpt2", ("h.1.mlp", "ln_f")),
        ("t5", ("EncDecAttention", "decoder.block.1.layer.2")),
    ],
)
def test_chosen_layers(family: str, parts: tuple[str, ...]) -> None:
    assert_as_one_by_one(only(build(family), *parts))


def test_a_trainable_head() -> None:
    assert_as_one_by_one(only(build("qwen2"), "lm_head"))


def test_bottleneck_adapters() -> None:
    """Down, nonlinearity, up, after a frozen layer."""

    class Adapter(nn.Module):
        def __init__(self, frozen: nn.Module) -> None:
            super().__init__()
            self.frozen, self.down, self.up = frozen, nn.Linear(32, 4), nn.Linear(4, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.frozen(x)
            return y + self.up(torch.relu(self.down(y)))

    model = build("llama")
    for layer in model.model.layers:
        layer.mlp = Adapter(layer.mlp)
    assert_as_one_by_one(only(model, ".down.", ".up."))


@with_adapters
@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gemma2", "gpt2", "t5", "flan_t5"])
def test_bottleneck_adapters_of_the_library(family: str, quantity: str) -> None:
    bottleneck = Bottleneck(True, True, reduction_factor=4, non_linearity="gelu")
    model = add_bottleneck(build(family), bottleneck, base_name="tiny", seed=0).eval()
    assert_as_one_by_one(model, quantity)


def test_a_layer_that_is_called_twice() -> None:
    model = build("llama")
    model.model.layers[1].mlp = model.model.layers[0].mlp
    assert_as_one_by_one(only(model, "mlp"))


class Scaled(nn.Module):
    """A layer that there is no rule for."""

    def __init__(self, frozen: nn.Module) -> None:
        super().__init__()
        self.frozen, self.scale = frozen, nn.Parameter(torch.ones(32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.frozen(x) * self.scale
        return y


def test_an_unknown_layer_is_slow_and_right() -> None:
    model = build("llama")
    model.model.layers[0].mlp = Scaled(model.model.layers[0].mlp)
    assert_as_one_by_one(only(model, "scale", "q_proj"), slow=("Scaled",))


def test_dora_is_slow_and_right() -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(build("llama"), LoraConfig(r=2, target_modules=["v_proj"], use_dora=True)).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.2)
    found = per_sample_gradients(model, batch_of(model), Exact(model), "margin")
    assert relative_error(found.features, one_by_one(model, samples(model), "margin")) < 1e-4


def test_a_known_layer_on_flattened_tokens_is_slow_and_right() -> None:
    class Flat(nn.Module):
        def __init__(self, linear: nn.Module) -> None:
            super().__init__()
            self.linear = linear

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.linear(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            return y

    model = build("llama")
    model.model.layers[1].mlp.up_proj = Flat(model.model.layers[1].mlp.up_proj)
    model = only(model, "up_proj", "q_proj")
    with recording(model, Exact(model)) as record:
        found = record(batch_of(model), "margin")
        assert record.slow_layers == ("Linear",)
    assert relative_error(found.features, one_by_one(model, samples(model), "margin")) < 1e-4


def test_a_layer_that_mixes_samples_is_refused() -> None:
    class Mixing(Scaled):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + 5 * x.mean(dim=0, keepdim=True)

    model = build("llama")
    model.model.layers[0].mlp = Mixing(model.model.layers[0].mlp)
    with pytest.raises(ModelError, match="Mixing: sample 100 has margin"):
        per_sample_gradients(only(model, "scale"), batch_of(model), Exact(model), "margin")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_does_not_depend_on_its_batch(family: str) -> None:
    model = with_lora(build(family))
    with recording(model, Exact(model)) as record:
        together = record(batch_of(model), "margin")
        alone = [record(collate([sample], PAD), "margin").features for sample in samples(model)]
    assert relative_error(together.features, torch.cat(alone)) < 1e-4


@pytest.mark.parametrize("family", DECODERS)
def test_padding_may_come_first(family: str) -> None:
    model = with_lora(build(family))
    batch = batch_of(model)
    with recording(model, Exact(model)) as record:
        right, left = record(batch, "margin"), record(padded_left(batch), "margin")
    assert relative_error(left.features, right.features) < 1e-4
    torch.testing.assert_close(left.margins, right.margins, rtol=1e-4, atol=1e-4)


def test_features_are_the_projected_gradients() -> None:
    model = with_lora(build("llama"))
    projection = Projection("count-sketch", 64, 3)
    projector = Projector(projection, Exact(model).shapes, torch.device("cpu"))
    exact = Projector(Projection("none", 0, 0), Exact(model).shapes, torch.device("cpu"))
    found = per_sample_gradients(model, batch_of(model), projector, "margin")
    whole = per_sample_gradients(model, batch_of(model), exact, "margin")
    expected = torch.zeros_like(found.features)
    start = 0
    for name, shape in Exact(model).shapes.items():
        projector.add(expected, name, whole.features[:, start : start + shape.numel()])
        start += shape.numel()
    assert relative_error(found.features, expected) < 1e-5
    assert found.tokens == batch_of(model).input_ids.numel()


def test_bfloat16_sums_in_float32() -> None:
    model = with_lora(build("llama"))
    exact = per_sample_gradients(model, batch_of(model), Exact(model), "margin").features
    with recording(model, Exact(model), autocast=torch.bfloat16) as record:
        mixed = record(batch_of(model), "margin").features
    true = per_sample_gradients(model.bfloat16(), batch_of(model), Exact(model), "margin").features
    for half in (mixed, true):
        assert half.dtype == torch.float32
        assert torch.cosine_similarity(half, exact).min() > 0.99


def test_the_model_is_put_back() -> None:
    model = with_lora(build("gpt2")).train()
    before = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    batch = batch_of(model)
    with recording(model, Exact(model)) as record:
        assert not model.training
        record(batch, "margin")
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert model.training
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == before
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_a_margin_that_is_no_number_is_named() -> None:
    model = with_lora(build("qwen2"))
    # One sample holds the token that breaks the model.
    batch = batch_of(model)
    batch.input_ids[2, 3] = 2
    with torch.no_grad():
        model.get_input_embeddings().weight[2] = torch.nan
    with pytest.raises(ModelError, match="task: sample 102 has a margin that is not a number"):
        per_sample_gradients(model, batch, Exact(model), "margin")


def test_a_sample_without_labels_is_named() -> None:
    model = with_lora(build("llama"))
    batch = batch_of(model)
    batch.labels[1] = IGNORED
    with pytest.raises(DataError, match="sample 101 has no label token"):
        per_sample_gradients(model, batch, Exact(model), "margin")


def test_a_merged_adapter_is_refused() -> None:
    model = with_lora(build("llama"))
    model.merge_adapter()
    with pytest.raises(ModelError, match="none of the trainable layers"):
        per_sample_gradients(model, batch_of(model), Exact(model), "margin")


def test_a_frozen_model_is_refused() -> None:
    model = only(build("llama"))
    with pytest.raises(ModelError, match="no trainable parameters"):
        per_sample_gradients(model, batch_of(model), Exact(model), "margin")


@pytest.mark.slow
def test_the_embedded_model() -> None:
    from finetune_cot.models.loading import load_model

    model = with_lora(load_model("SmolLM2-135M-Instruct", device="cpu").model)
    random = torch.Generator().manual_seed(0)
    examples = [
        EncodedExample(index, "task", ids, (IGNORED,) * 5 + ids[5:])
        for index, length in enumerate((20, 33, 27))
        for ids in [tuple(torch.randint(100, 40000, (length,), generator=random).tolist())]
    ]
    batch = collate(examples, PAD)
    for quantity in ("margin", "loss"):
        found = per_sample_gradients(model, batch, Exact(model), quantity)  # type: ignore[arg-type]
        assert relative_error(found.features, one_by_one(model, examples, quantity)) < 1e-4
