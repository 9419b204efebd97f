"""Lightning checkpoints as folders of safetensors and JSON: nothing is pickled."""

import json
from pathlib import Path
from typing import Any

from lightning.fabric.plugins import CheckpointIO
from torch import Tensor

from finetune_cot.artifacts.files import read_json, write_directory_atomic
from finetune_cot.training.weights import read_tensors, save_tensors

STATE_FILE = "trainer_state.json"
TENSORS_FILE = "trainer_state.safetensors"


class SafetensorsCheckpointIO(CheckpointIO):
    """Writes what Lightning saves: tensors as safetensors, all else as JSON, the folder in one rename.

    The checkpoint holds ``write_weights``, a function that writes the weights into the folder in the form
    that other programs read; they are kept there alone.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint, replacing an earlier one at once or not at all.

        Raises:
            ArtifactError: it cannot be written; the earlier one is kept.
        """
        write_weights = checkpoint.pop("write_weights")
        tensors: dict[str, Tensor] = {}
        state = _take_tensors(checkpoint, "", tensors)
        with write_directory_atomic(Path(path)) as folder:
            write_weights(folder)
            save_tensors(tensors, folder / TENSORS_FILE)
            (folder / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint back.

        Raises:
            ArtifactError: a file of it is missing or torn.
        """
        folder = Path(path)
        state = read_json(folder / STATE_FILE)
        checkpoint: dict[str, Any] = _put_tensors(state, read_tensors(folder / TENSORS_FILE))
        checkpoint["folder"] = folder
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Lightning removes nothing here: a checkpoint is replaced by its successor."""


def _take_tensors(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """The value with its tensors moved into ``tensors``, and mappings as pairs: keys keep their type."""
    if isinstance(value, Tensor):
        tensors[place] = value.detach().cpu().contiguous().clone()
        return {"tensor": place}
    if isinstance(value, dict):
        return {
            "pairs": [[key, _take_tensors(item, f"{place}/{key}", tensors)] for key, item in value.items()]
        }
    if isinstance(value, list | tuple):
        return [_take_tensors(item, f"{place}/{position}", tensors) for position, item in enumerate(value)]
    return value


def _put_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict) and "tensor" in value:
        return tensors[value["tensor"]]
    if isinstance(value, dict):
        return {key: _put_tensors(item, tensors) for key, item in value["pairs"]}
    if isinstance(value, list):
        return [_put_tensors(item, tensors) for item in value]
    return value
