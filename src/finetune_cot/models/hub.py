"""Models of the Hugging Face hub, as folders of the local cache."""

from pathlib import Path

from finetune_cot.errors import ModelError

_SMALL_FILES = (
    *("config.json", "generation_config.json", "model.safetensors.index.json"),
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "chat_template*"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model"),
)
_WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors")


def fetch_model(name: str, *, weights: bool = True) -> Path:
    """Folder in the local cache with a hub model's files, fetched where needed; fails at once when offline.

    Only safetensors are fetched, and no code.

    Args:
        name: Name on the hub, such as ``google/gemma-2b``.
        weights: Whether to fetch the weights too, or only the small files.

    Raises:
        ModelError: the model is neither on the hub nor in the cache, or may not be read.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    patterns = [*_SMALL_FILES, *(_WEIGHTS if weights else ())]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=10))
    except GatedRepoError:
        what, remedy = (
            "its terms must be accepted first",
            f"do so at https://huggingface.co/{name}, then {_LOGIN}",
        )
    except RepositoryNotFoundError:
        what, remedy = (
            "no such model on the Hugging Face hub",
            f"check --model-key; if it is private, {_LOGIN}",
        )
    except (OSError, ValueError):
        what = "the model is not in the local cache, and the Hugging Face hub does not give it out now"
        remedy = "go online, or give a model's folder or the embedded SmolLM2-135M-Instruct as --model-key"
    raise ModelError(what, where=name, remedy=remedy)


_LOGIN = "log in with `hf auth login`"
