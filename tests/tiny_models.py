"""Tiny random models as real Hugging Face folders: config, safetensors weights and a small tokenizer."""

import json
from pathlib import Path
from typing import Any

CORPUS = (
    "Question: Ann has 3 apples and buys 4 more. How many apples does she have? Let's think step by step.",
    "Ann starts with 3 apples. She buys 4 more, so she has 3 + 4 = 7 apples. The answer is 7.",
    "Question: Is the coin still heads up? A coin is heads up. Bob flips it. Therefore, the answer is no.",
    "Question: Take the last letters of the words in 'Tom Lee' and concatenate them. --> me END ###",
    "Instruction: Translate the sentence, then sort the list of words: pear, fig, plum. Answer:",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def write_llama(folder: Path, *, seed: int = 0, hidden_size: int = 32) -> Path:
    """A Llama of two layers; beginning, end and unknown token, no padding token, and a chat template."""
    from transformers import LlamaConfig, LlamaForCausalLM

    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    vocabulary = write_tokenizer(folder, special, chat_template=CHAT_TEMPLATE)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden_size,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    return _write(LlamaForCausalLM, config, folder, seed)


def write_gpt2(folder: Path, *, seed: int = 0, hidden_size: int = 32) -> Path:
    """A GPT-2 of two layers with learned positions, one special token, and no chat template."""
    from transformers import GPT2Config, GPT2LMHeadModel

    end = "<|endoftext|>"
    vocabulary = write_tokenizer(folder, {"bos_token": end, "eos_token": end, "unk_token": end})
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=256,
        n_embd=hidden_size,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return _write(GPT2LMHeadModel, config, folder, seed)


def write_t5(folder: Path, *, seed: int = 0, hidden_size: int = 32) -> Path:
    """A T5 of two layers each side, whose tokenizer closes every text with the end token."""
    from transformers import T5Config, T5ForConditionalGeneration

    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    vocabulary = write_tokenizer(folder, special, close_with="</s>")
    config = T5Config(
        vocab_size=vocabulary,
        d_model=hidden_size,
        d_kv=hidden_size // 4,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        initializer_factor=2.0,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return _write(T5ForConditionalGeneration, config, folder, seed)


def write_bert(folder: Path, *, seed: int = 0, hidden_size: int = 32) -> Path:
    """A BERT of two layers, whose tokenizer parts two texts and tells one from the other."""
    from transformers import BertConfig, BertForPreTraining

    names = ("pad", "unk", "cls", "sep", "mask")
    special = {f"{name}_token": f"[{name.upper()}]" for name in names}
    vocabulary = write_tokenizer(folder, special, pairs=True)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden_size,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        initializer_range=0.3,
        pad_token_id=0,
    )
    return _write(BertForPreTraining, config, folder, seed)


def write_tokenizer(
    folder: Path,
    special: dict[str, str],
    *,
    close_with: str | None = None,
    pairs: bool = False,
    chat_template: str | None = None,
) -> int:
    """Train a byte-level BPE on the corpus and write its files; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=list(dict.fromkeys(special.values())),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if close_with:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {close_with}", special_tokens=[(close_with, tokenizer.token_to_id(close_with))]
        )
    if pairs:
        marks = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    # Written by hand: the class that transformers 5 would name is unknown to transformers 4.
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    settings |= {"chat_template": chat_template} if chat_template else {}
    settings |= {"model_max_length": 512, "clean_up_tokenization_spaces": False}
    settings["model_input_names"] = ["input_ids", "attention_mask", *["token_type_ids"] * pairs]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return int(tokenizer.get_vocab_size())


def _write(model_class: Any, config: Any, folder: Path, seed: int) -> Path:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config)
    model.save_pretrained(folder)
    return folder
