"""Losses on label tokens, against what transformers computes itself."""

from typing import Any

import pytest
import torch

from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import IGNORED
from finetune_cot.models.loading import LoadedModel
from finetune_cot.training.loss import mean_sample_losses, sample_losses
from tests.training.conftest import FAMILIES, Load, samples

pytestmark = pytest.mark.models


def plain_loss(model: Any, batch: Batch) -> torch.Tensor:
    """The mean over the label tokens, as transformers has it."""
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "labels": batch.labels}
    loss: torch.Tensor = model(**inputs).loss
    return loss


def batch_of(loaded: LoadedModel, count: int = 7) -> Batch:
    return collate(samples(loaded, count), loaded.tokenizer.pad_token_id)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mean_is_that_of_transformers(family: str, load: Load) -> None:
    loaded = load(family)
    batch = batch_of(loaded)
    losses, tokens = sample_losses(loaded.model, batch)
    torch.testing.assert_close(losses.sum() / tokens.sum(), plain_loss(loaded.model, batch))
    assert int(tokens.sum()) == batch.step_label_tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_transformers(family: str, load: Load) -> None:
    loaded = load(family)
    batch = batch_of(loaded)
    losses, tokens = sample_losses(loaded.model, batch)
    (losses.sum() / tokens.sum()).backward()
    ours = {name: weight.grad.clone() for name, weight in loaded.model.named_parameters()}
    loaded.model.zero_grad()
    plain_loss(loaded.model, batch).backward()
    for name, weight in loaded.model.named_parameters():
        torch.testing.assert_close(ours[name], weight.grad, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sample_loss_does_not_depend_on_its_batch(family: str, load: Load) -> None:
    loaded = load(family)
    examples = samples(loaded, 7)
    pad = loaded.tokenizer.pad_token_id
    together = mean_sample_losses(loaded.model, collate(examples, pad))
    alone = [mean_sample_losses(loaded.model, collate([example], pad)) for example in examples]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-4)


def test_prompts_carry_no_loss(load: Load) -> None:
    """Against a sum over the tokens of one sample, written out."""
    loaded = load("llama")
    (example,) = samples(loaded, 1)
    losses, tokens = sample_losses(loaded.model, collate([example], loaded.tokenizer.pad_token_id))
    logits = loaded.model(torch.tensor([example.input_ids])).logits[0].log_softmax(-1)
    expected = -sum(
        logits[position - 1, label] for position, label in enumerate(example.labels) if label != IGNORED
    )
    torch.testing.assert_close(losses[0], expected)
    assert int(tokens[0]) == sum(label != IGNORED for label in example.labels)


def _tiny(name: str, vocabulary: int) -> Any:
    """A random model of a family; in transformers 4 some take no ``logits_to_keep``."""
    import transformers as hf

    size = {"vocab_size": vocabulary, "hidden_size": 16, "bos_token_id": 0, "eos_token_id": 1}
    configs: dict[str, Any] = {
        "gpt_neo": lambda: hf.GPTNeoConfig(
            **size, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]], window_size=8
        ),
        "gptj": lambda: hf.GPTJConfig(
            vocab_size=vocabulary, n_embd=16, n_layer=2, n_head=2, rotary_dim=4, n_positions=128
        ),
        "opt": lambda: hf.OPTConfig(
            **size, ffn_dim=32, num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=16
        ),
        "bloom": lambda: hf.BloomConfig(**size, n_layer=2, n_head=2),
        "gpt_neox": lambda: hf.GPTNeoXConfig(
            **size, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        ),
    }
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(configs[name]()).eval()


@pytest.mark.parametrize("family", ["gpt_neo", "gptj", "opt", "bloom", "gpt_neox"])
def test_every_family_of_decoders_gives_the_plain_loss(family: str, load: Load) -> None:
    loaded = load("gpt2")
    model = _tiny(family, len(loaded.tokenizer))
    batch = batch_of(loaded)
    losses, tokens = sample_losses(model, batch)
    torch.testing.assert_close(losses.sum() / tokens.sum(), plain_loss(model, batch))
