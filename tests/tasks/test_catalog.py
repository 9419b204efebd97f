from pathlib import Path

import pytest

from finetune_cot.errors import DataError
from finetune_cot.tasks.catalog import list_datasets
from finetune_cot.tasks.glue import glue_keys
from finetune_cot.tasks.procedural.registry import bundled_keys

TEST_SIZES = {
    "single_eq": 152,
    "addsub": 119,
    "multiarith": 180,
    "svamp": 300,
    "gsm8k": 1319,
    "aqua": 254,
    "commonsense_qa": 1221,
    "strategy_qa": 687,
    "date_understanding": 111,
    "tracking_shuffled_objects": 225,
    "coin_flip": 150,
    "last_letter_concatenation": 150,
}


def test_the_published_data_sets_and_the_bundled_ones(shared_data: Path) -> None:
    found = {item.key: item for item in list_datasets(shared_data)}
    assert {key: found[key].test for key in TEST_SIZES} == TEST_SIZES
    assert (found["gsm8k"].samples, found["gsm8k"].train) == (8792, 7473)
    assert (found["aqua"].samples, found["aqua"].train) == (254, 0)
    assert found.keys() - TEST_SIZES.keys() == {*bundled_keys(), *glue_keys(shared_data)}


def test_without_a_folder_the_bundled_ones_remain() -> None:
    found = list_datasets(None)
    assert [item.key for item in found] == bundled_keys()
    assert found[0].tasks >= 16
    assert all(item.train + item.test == item.samples for item in found)


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.json").write_text('{"data": [')
    with pytest.raises(DataError, match=r"mine\.json, line 1"):
        list_datasets(tmp_path)
