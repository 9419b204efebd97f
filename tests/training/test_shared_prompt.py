"""Losses and gradients are the same whether what the samples begin with is read once or by every sample."""

from typing import Any

import pytest
import torch

from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import IGNORED, EncodedExample
from finetune_cot.training import loss
from finetune_cot.training.bottleneck import Bottleneck, add_bottleneck
from finetune_cot.training.lora import add_lora
from finetune_cot.training.loss import sample_losses
from finetune_cot.training.shared_prompt import shared_tokens
from tests.adapters_library import with_adapters

pytestmark = pytest.mark.models

PROMPT = tuple(range(20, 56))
DECODERS = ("llama", "gpt2", "gpt_neo", "gptj", "opt", "bloom", "gpt_neox", "gemma2", "mistral")


def batch_of(prompt: tuple[int, ...] = PROMPT, *, labelled_prompt: int = 0) -> Batch:
    """Three samples of different lengths that begin alike; the last tokens of the prompt may be labelled."""
    examples = []
    for index, (question, answer) in enumerate([(3, 2), (5, 4), (4, 1)]):
        own = tuple(40 + 10 * index + place for place in range(question + answer))
        labels = [IGNORED] * (len(prompt) + question) + list(own[question:])
        for place in range(len(prompt) - labelled_prompt, len(prompt)):
            labels[place] = prompt[place]
        examples.append(EncodedExample(index, "a", prompt + own, tuple(labels)))
    return collate(examples, pad_token_id=0)


def tiny(family: str) -> Any:
    """A random decoder of two layers; two families look back over a few tokens only."""
    import transformers as hf

    names = {"gpt_neo": "GPTNeo", "gptj": "GPTJ", "opt": "OPT", "gpt_neox": "GPTNeoX", "gpt2": "GPT2"}
    known = {
        **{"vocab_size": 90, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2},
        **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16},
    }
    older = {"vocab_size": 90, "n_embd": 32, "n_layer": 2, "n_head": 2, "rotary_dim": 4, "hidden_size": 32}
    own: dict[str, dict[str, Any]] = {
        **{"gpt2": older, "gptj": older, "bloom": older},
        "gpt_neo": {
            **{"vocab_size": 90, "hidden_size": 32, "num_layers": 2, "num_heads": 2, "window_size": 8},
            "attention_types": [[["global", "local"], 1]],
        },
        "opt": {**known, "ffn_dim": 32, "word_embed_proj_dim": 32},
        "gemma2": {**known, "sliding_window": 8},
        "mistral": {**known, "sliding_window": 8},
    }
    config = getattr(hf, f"{names.get(family, family.title())}Config")(**own.get(family, known))
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(config).eval()


def adapted(*, dropout: float) -> Any:
    """A Llama with LoRA, in training."""
    lora = add_lora(
        tiny("llama"), base_name="tiny", rank=2, alpha=8.0, dropout=dropout, targets=["all-linear"], seed=0
    )
    return lora.train()


def gradients(model: Any, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The losses of the samples, and the gradients of their weighted sum on everything trainable."""
    model.zero_grad()
    losses, _ = sample_losses(model, batch)
    (losses * torch.tensor([1.0, -2.0, 3.0])).sum().backward()
    found = {name: part.grad.clone() for name, part in model.named_parameters() if part.grad is not None}
    return losses.detach(), found


def assert_same_as_apart(model: Any, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = gradients(model, batch)
    with monkeypatch.context() as patch:
        patch.setattr(loss, "shared_tokens", lambda base, batch: 0)
        apart = gradients(model, batch)
    assert shared[1].keys() == apart[1].keys()
    torch.testing.assert_close(shared, apart, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", DECODERS)
def test_losses_and_gradients_are_those_of_every_sample_by_itself(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family)
    assert shared_tokens(model, batch_of()) == len(PROMPT)
    assert_same_as_apart(model, batch_of(), monkeypatch)


def test_an_adapter_gets_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted(dropout=0.0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    assert shared_tokens(model.get_base_model(), batch_of()) == len(PROMPT)
    assert_same_as_apart(model, batch_of(), monkeypatch)


@with_adapters
def test_bottleneck_adapters_get_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    bottleneck = Bottleneck(True, True, reduction_factor=4, non_linearity="relu")
    model = add_bottleneck(tiny("llama"), bottleneck, base_name="tiny", seed=0)
    assert shared_tokens(model, batch_of()) == len(PROMPT)
    assert_same_as_apart(model, batch_of(), monkeypatch)


def test_the_prompt_is_read_once_and_nothing_after_the_last_label() -> None:
    model, read = tiny("llama"), []
    model.get_input_embeddings().register_forward_hook(lambda layer, args, output: read.append(args[0].shape))
    sample_losses(model, batch_of())
    longest = batch_of().input_ids.shape[1]
    assert read == [(1, len(PROMPT)), (3, longest - len(PROMPT) - 1)]


def test_what_is_labelled_is_read_by_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = tiny("llama"), batch_of(labelled_prompt=3)
    # The token before the first label predicts it.
    assert shared_tokens(model, batch) == len(PROMPT) - 3 - 1
    assert_same_as_apart(model, batch, monkeypatch)


def test_a_prompt_that_saves_little_is_not_shared() -> None:
    assert shared_tokens(tiny("llama"), batch_of(PROMPT[:2])) == 0
    alone = [EncodedExample(0, "a", (*PROMPT, 40), (IGNORED,) * len(PROMPT) + (40,))]
    assert shared_tokens(tiny("llama"), collate(alone, 0)) == 0


def test_dropout_and_recomputing_keep_samples_apart() -> None:
    dropped = tiny("gpt2")
    assert shared_tokens(dropped, batch_of()) == len(PROMPT)
    assert shared_tokens(dropped.train(), batch_of()) == 0
    assert shared_tokens(adapted(dropout=0.1).get_base_model(), batch_of()) == 0
    recomputing = tiny("llama").train()
    recomputing.gradient_checkpointing_enable()
    assert shared_tokens(recomputing, batch_of()) == 0


def test_samples_padded_in_front_have_nothing_in_common() -> None:
    batch = batch_of((0,) * 36)
    mask = batch.attention_mask.clone()
    mask[:, :36] = 0
    assert shared_tokens(tiny("llama"), batch._replace(attention_mask=mask)) == 0
