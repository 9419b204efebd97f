from pathlib import Path

import pytest

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.generating import generate_bundled
from finetune_cot.tasks.procedural.registry import bundled_dataset
from finetune_cot.tasks.reasoning import load_dataset


def test_generated_data_are_stored_with_their_formats(tmp_path: Path) -> None:
    report = generate_bundled("bundled", 2, 0, tmp_path)
    assert (report.key, report.written) == ("bundled_2", True)
    data = load_dataset("bundled_2", tmp_path)
    expected = bundled_dataset("bundled", 2)
    assert data.samples == expected.samples
    assert data.answer_formats == expected.answer_formats
    assert not generate_bundled("bundled", 2, 0, tmp_path).written


def test_names_seeds_and_refusals(tmp_path: Path) -> None:
    assert generate_bundled("bundled_parity", 3, 7, tmp_path).key == "bundled_parity_3_seed_7"
    assert generate_bundled("bundled_parity", 3, 7, tmp_path, "mine").path.name == "mine.json"
    with pytest.raises(DataError, match="is there already and differs"):
        generate_bundled("bundled_parity", 3, 8, tmp_path, "mine")
    with pytest.raises(UsageError, match="'parity' is no bundled data set; choose one of bundled"):
        generate_bundled("parity", 3, 0, tmp_path)
    with pytest.raises(UsageError, match="path separator"):
        generate_bundled("bundled_parity", 3, 0, tmp_path, "../x")
