import json
from pathlib import Path

import pytest

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.answer_formats import PUBLISHED_FORMATS
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample
from finetune_cot.tasks.splits import generate_split, load_split, read_split, split_keys, split_path

SPLITS = [(key, "default") for key in PUBLISHED_FORMATS] + [
    ("multiarith", "template"),
    ("date_understanding", "template"),
]


def dataset(indices: range, key: str = "sums") -> Dataset:
    samples = tuple(Sample(index, f"{index}?", str(index), key) for index in indices)
    return Dataset(key, samples, "sums.json", {key: AnswerFormat("number")})


@pytest.mark.parametrize(("key", "split_key"), SPLITS)
def test_generated_splits_equal_the_published_files(shared_data: Path, key: str, split_key: str) -> None:
    data = load_dataset(key, shared_data)
    published = load_split(data, shared_data, split_key)
    generated = generate_split(data, split_key)
    assert generated.generated
    assert not published.generated
    assert set(generated.train) == set(published.train)
    assert set(generated.test) == set(published.test)
    assert generated.absent == published.absent


def test_the_published_files_name_the_same_training_samples_of_aqua(shared_data: Path) -> None:
    """The data folder has none of them, so that only the drawing itself can be compared."""
    whole = dataset(range(97_721), "aqua")
    train, test = read_split(split_path("aqua", "default", shared_data))
    generated = generate_split(whole)
    assert set(generated.train) == set(train)
    assert list(generated.test) == sorted(test)


def test_seventy_percent_from_seed_0() -> None:
    split = generate_split(dataset(range(10)))
    assert (split.train, split.test) == ((1, 2, 4, 6, 7, 8, 9), (0, 3, 5))
    moved = generate_split(dataset(range(100, 110)))
    assert moved.test == (100, 103, 105)


def test_no_template_is_in_both_parts(shared_data: Path) -> None:
    data = load_dataset("date_understanding", shared_data)
    split = generate_split(data, "template")
    scenes = [
        {data.sample(i).question.partition("What is the date")[0] for i in part}
        for part in (split.train, split.test)
    ]
    assert not scenes[0] & scenes[1]


def write(data_dir: Path, content: object, key: str = "sums", split_key: str = "default") -> Path:
    path = split_path(key, split_key, data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_decides_and_absent_samples_are_counted(tmp_path: Path) -> None:
    write(tmp_path, {"train": [9, 0, 77], "test": [1]})
    split = load_split(dataset(range(10)), tmp_path)
    assert (split.train, split.test, split.absent, split.generated) == ((9, 0), (1,), 1, False)
    write(tmp_path, {"train": [0], "test": [1]}, split_key="mine")
    assert load_split(dataset(range(10)), tmp_path, "mine").train == (0,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": [1', "sums__default.json, line 1, column 13: is cut off"),
        ([1, 2], "is no split"),
        ({"train": [1]}, "is no split"),
        ({"train": [1], "test": ["2"]}, "is no split"),
        ({"train": [True], "test": [2]}, "is no split"),
        ({"train": [1, 2], "test": [2]}, "names sample 2 twice"),
        ({"train": [100], "test": [200]}, "fits no sample of sums"),
    ],
)
def test_other_files_are_named(tmp_path: Path, content: object, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as error:
        load_split(dataset(range(10)), tmp_path)
    assert str(path) in str(error.value)


def test_a_split_without_file_or_rule() -> None:
    with pytest.raises(DataError, match=r"sums has no split 'template'.*write split/sums__template\.json"):
        load_split(dataset(range(10)), None, "template")
    with pytest.raises(UsageError, match="path separator"):
        load_split(dataset(range(10)), Path("data"), "../x")


def test_splits_are_known_by_rule_and_by_file(tmp_path: Path) -> None:
    assert split_keys(dataset(range(3)), tmp_path) == ["default"]
    assert split_keys(dataset(range(3), "multiarith"), tmp_path) == ["default", "template"]
    path = split_path("sums", "mine", tmp_path)
    path.parent.mkdir()
    path.touch()
    assert split_keys(dataset(range(3)), tmp_path) == ["default", "mine"]
