"""Tiny random models of every family, made from configs alone, and batches for them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers as hf

from finetune_cot.batches.collation import Batch, collate
from finetune_cot.batches.encoding import IGNORED, EncodedExample
from finetune_cot.training.lora import add_lora

VOCABULARY = 90
PAD = 0

_IDS = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": PAD}
_SIZE = {
    **_IDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
_T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 2,
    "num_heads": 4,
    "initializer_factor": 1.0,
    "dropout_rate": 0.1,
    "pad_token_id": PAD,
    "eos_token_id": 2,
    "decoder_start_token_id": PAD,
}

CONFIGS: Mapping[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaConfig(**_SIZE, tie_word_embeddings=True),
    "mistral": lambda: hf.MistralConfig(**_SIZE, sliding_window=8),
    "qwen2": lambda: hf.Qwen2Config(**_SIZE),
    "gemma": lambda: hf.GemmaConfig(**_SIZE, head_dim=8),
    "gemma2": lambda: hf.Gemma2Config(**_SIZE, head_dim=8, final_logit_softcapping=5.0),
    "gpt2": lambda: hf.GPT2Config(
        **_IDS, n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3
    ),
    "gpt_neo": lambda: hf.GPTNeoConfig(
        **_IDS,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=8,
        max_position_embeddings=64,
        initializer_range=0.3,
    ),
    "gpt_neox": lambda: hf.GPTNeoXConfig(
        **_IDS,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.3,
    ),
    "bloom": lambda: hf.BloomConfig(
        **_IDS, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3, hidden_dropout=0.1
    ),
    "t5": lambda: hf.T5Config(**_T5),
    "flan_t5": lambda: hf.T5Config(**_T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}
ENCODER_DECODERS = ("t5", "flan_t5")
FAMILIES = tuple(CONFIGS)


def build(family: str, seed: int = 0) -> Any:
    """A random model in evaluation mode whose parameters are all trainable."""
    torch.manual_seed(seed)
    config = CONFIGS[family]()
    kind: Any = hf.AutoModelForSeq2SeqLM if config.is_encoder_decoder else hf.AutoModelForCausalLM
    return kind.from_config(config).eval()


def with_lora(model: Any, seed: int = 0) -> Any:
    """LoRA on the family's usual modules, with random B, so that the gradient of A is not zero."""
    model = add_lora(model, base_name="tiny", rank=3, alpha=6, dropout=0.1, targets=None, seed=seed).eval()
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def only(model: Any, *parts: str) -> Any:
    """The same model with those parameters trainable whose names hold one of the parts."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in parts))
    return model


def samples(model: Any, count: int = 5) -> list[EncodedExample]:
    """Random samples of different lengths, some with labels at their end only and one with gaps."""
    random = torch.Generator().manual_seed(7)
    made = []
    for index in range(count):
        length = 6 + (5 * index) % 7
        ids = torch.randint(3, VOCABULARY, (length,), generator=random).tolist()
        if model.config.is_encoder_decoder:
            labels = torch.randint(3, VOCABULARY, (2 + index % 4,), generator=random).tolist()
        else:
            labels = [IGNORED] * (index % 5) + ids[index % 5 :]
            labels[4] = IGNORED if index == 1 else labels[4]
        made.append(EncodedExample(100 + index, "task", tuple(ids), tuple(labels)))
    return made


def batch_of(model: Any, count: int = 5) -> Batch:
    """The samples as one batch, padded on the right."""
    return collate(samples(model, count), PAD)


def padded_left(batch: Batch) -> Batch:
    """The same batch of a decoder with the filling before the samples."""
    lengths = batch.attention_mask.sum(dim=1).tolist()
    width = batch.input_ids.shape[1]

    def turn(rows: torch.Tensor) -> torch.Tensor:
        return torch.stack([row.roll(width - length) for row, length in zip(rows, lengths, strict=True)])

    return batch._replace(
        input_ids=turn(batch.input_ids),
        attention_mask=turn(batch.attention_mask),
        labels=turn(batch.labels),
    )
