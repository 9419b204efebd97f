"""Token ids and labels, spelled out by hand with the tiny tokenizers."""

from pathlib import Path
from typing import Any

import pytest

from finetune_cot.batches.encoding import IGNORED, EncodedExample, encode, show_masked
from finetune_cot.prompts.segments import Segment

pytestmark = pytest.mark.models

PROMPT = Segment("Ann has 3 ###", labelled=False)
LABEL = Segment(" 7", labelled=True)


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def ids(tokenizer: Any, *tokens: str) -> tuple[int, ...]:
    return tuple(tokenizer.convert_tokens_to_ids(list(tokens)))


def test_decoder_learns_the_label_and_the_end(tiny_gpt2_dir: Path) -> None:
    tokenizer = tokenizer_of(tiny_gpt2_dir)
    example = encode(tokenizer, "decoder", (PROMPT, LABEL), 4, "sums")
    prompt = ids(tokenizer, "Ann", "Ġhas", "Ġ3", "Ġ##", "#")
    seven, end = ids(tokenizer, "Ġ7", "<|endoftext|>")
    assert example == EncodedExample(4, "sums", (*prompt, seven, end), (*[IGNORED] * len(prompt), seven, end))
    assert example.label_tokens == 2
    assert example.length == len(prompt) + 2


def test_a_beginning_token_comes_once(tiny_llama_dir: Path) -> None:
    tokenizer = tokenizer_of(tiny_llama_dir)
    tokenizer.bos_token = "<s>"
    begun = encode(tokenizer, "decoder", (Segment("<s>Ann", labelled=False), LABEL), 0, "t")
    assert begun.input_ids.count(tokenizer.bos_token_id) == 1


def test_an_end_that_the_text_has_already_is_not_doubled(tiny_llama_dir: Path) -> None:
    tokenizer = tokenizer_of(tiny_llama_dir)
    chat = (PROMPT, Segment("7</s>", labelled=True))
    example = encode(tokenizer, "decoder", chat, 0, "t")
    assert example.labels.count(tokenizer.eos_token_id) == 1
    assert example.labels[-1] == tokenizer.eos_token_id


def test_every_labelled_turn_is_closed(tiny_llama_dir: Path) -> None:
    tokenizer = tokenizer_of(tiny_llama_dir)
    example = encode(tokenizer, "decoder", (PROMPT, LABEL, Segment(" And 4?", False), LABEL), 0, "t")
    assert example.labels.count(tokenizer.eos_token_id) == 2
    labelled = [label for label in example.labels if label != IGNORED]
    assert tokenizer.decode(labelled) == " 7</s> 7</s>"


def test_encoder_decoder_keeps_source_and_target_apart(tiny_t5_dir: Path) -> None:
    tokenizer = tokenizer_of(tiny_t5_dir)
    example = encode(tokenizer, "encoder_decoder", (Segment("Ann", False), Segment("7", True)), 0, "t")
    end = tokenizer.eos_token_id
    assert example.input_ids == (*ids(tokenizer, *tokenizer.tokenize("Ann")), end)
    assert example.labels == (*ids(tokenizer, "7"), end)
    assert example.length == len(example.input_ids)


def test_the_masked_example_shows_what_is_learned(tiny_gpt2_dir: Path, tiny_t5_dir: Path) -> None:
    decoder = tokenizer_of(tiny_gpt2_dir)
    example = encode(decoder, "decoder", (PROMPT, LABEL, PROMPT, LABEL), 0, "t")
    end = "<|endoftext|>"
    assert show_masked(decoder, example, "decoder") == f"Ann has 3 ###[[ 7{end}]]Ann has 3 ###[[ 7{end}]]"
    t5 = tokenizer_of(tiny_t5_dir)
    pair = encode(t5, "encoder_decoder", (Segment("Ann", False), Segment("7", True)), 0, "t")
    assert show_masked(t5, pair, "encoder_decoder") == "Ann</s> [[7</s>]]"
