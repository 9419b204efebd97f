from pathlib import Path

import pytest

from finetune_cot.artifacts.checkpoints import (
    LAST,
    epoch_folder,
    is_checkpoint,
    require_finetuned,
    weights_folder,
)
from finetune_cot.errors import ArtifactError, ModelError


def test_where_weights_lie(tmp_path: Path) -> None:
    checkpoint = tmp_path / "sums_run_0"
    assert not is_checkpoint(checkpoint)
    with pytest.raises(ArtifactError, match="no such weights were kept"):
        weights_folder(checkpoint)
    (checkpoint / LAST).mkdir(parents=True)
    assert is_checkpoint(checkpoint)
    assert weights_folder(checkpoint) == checkpoint / "last"
    with pytest.raises(ArtifactError, match="train with --keep-epochs"):
        weights_folder(checkpoint, 2)
    epoch_folder(checkpoint, 2).mkdir(parents=True)
    assert weights_folder(checkpoint, 2) == checkpoint / "epochs" / "epoch_002"
    with pytest.raises(ArtifactError, match=r"epoch_003: no such weights were kept; kept are: epoch_002"):
        weights_folder(checkpoint, 3)


def test_a_folder_that_is_not_there_may_be_mistyped(tmp_path: Path) -> None:
    (tmp_path / "sums_run_0").mkdir()
    require_finetuned(tmp_path / "sums_run_0")
    with pytest.raises(ModelError, match=r"did you mean sums_run_0\? check --load-model-dir"):
        require_finetuned(tmp_path / "sum_run_0")
