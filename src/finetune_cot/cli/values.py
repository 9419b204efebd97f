"""What shell completion offers as the values of an option."""

import os
from collections.abc import Callable
from pathlib import Path

from finetune_cot.config.options import OptionSpec


def offered_values(spec: OptionSpec) -> Callable[[str], list[str]]:
    """A completion function for Typer: the values that begin with what has been typed."""

    def complete(incomplete: str) -> list[str]:
        values = spec.option.choices or _SOURCES[str(spec.option.values)]()
        return [value for value in values if value.startswith(incomplete)]

    return complete


def _dataset_keys() -> list[str]:
    from finetune_cot.tasks.glue import glue_keys
    from finetune_cot.tasks.procedural.registry import bundled_keys

    folder = Path(os.environ.get("FTCOT_DATA_DIR", "data"))
    stored = sorted(path.stem for path in folder.glob("dataset/*.json"))
    return [*stored, *glue_keys(folder), *bundled_keys()]


def _model_keys() -> list[str]:
    from finetune_cot.models.registry import model_aliases

    return list(model_aliases())


def _saved_models() -> list[str]:
    folders = [*_saved().glob("checkpoints/*"), *_saved().glob("exported_model/*")]
    return sorted(str(folder) for folder in folders if folder.is_dir())


def _saved_names() -> list[str]:
    return sorted({folder.name.rpartition("_run_")[0] for folder in _saved().glob("checkpoints/*_run_*")})


def _finetune_keys() -> list[str]:
    return sorted({path.stem.removeprefix("F_") for path in _saved().glob("finetune_data/P_custom/F_*.json")})


def _estimates() -> list[str]:
    return sorted(path.parent.name for path in _saved().glob("results/*/estimates.json"))


def _saved() -> Path:
    return Path(os.environ.get("FTCOT_SAVED_DIR", "saved"))


_SOURCES = {
    "dataset_keys": _dataset_keys,
    "model_keys": _model_keys,
    "saved_models": _saved_models,
    "saved_names": _saved_names,
    "finetune_keys": _finetune_keys,
    "estimates": _estimates,
}
