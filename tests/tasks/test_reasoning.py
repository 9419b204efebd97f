import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.reasoning import (
    dataset_path,
    load_dataset,
    load_dataset_file,
    store_dataset,
    stored_keys,
)
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample

ROW = {"sample_index": 5, "question": "1 + 1?", "answer": "2"}


def write(folder: Path, rows: Any, key: str = "sums", **metadata: Any) -> Path:
    path = dataset_path(key, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metadata": metadata, "data": rows}))
    return path


def test_a_file_of_the_published_layout(tmp_path: Path) -> None:
    rows = [ROW, {"sample_index": 3, "question": "2?", "answer": "2.5", "rationale": "Because."}]
    path = write(tmp_path, rows, dataset_key="sums")
    data = load_dataset("sums", tmp_path)
    assert data.key == "sums"
    assert data.source == str(path)
    assert data.sample(3) == Sample(3, "2?", "2.5", "sums", "Because.")
    assert data.answer_formats == {"sums": AnswerFormat("number", compare_as_float=True)}


def test_older_files_call_the_rationale_reasoning(tmp_path: Path) -> None:
    write(tmp_path, [{**ROW, "reasoning": "One and one."}])
    assert load_dataset("sums", tmp_path).sample(5).rationale == "One and one."


def test_tasks_and_formats_that_the_file_states(tmp_path: Path) -> None:
    rows = [{**ROW, "task": "letters"}, {**ROW, "sample_index": 6}]
    write(tmp_path, rows, task="numbers", answer_formats={"letters": "letters"})
    data = load_dataset("sums", tmp_path)
    assert data.tasks == ("letters", "numbers")
    assert data.answer_formats == {
        "letters": AnswerFormat("letters"),
        "numbers": AnswerFormat("number", compare_as_float=True),
    }
    write(tmp_path, [ROW], answer_format={"kind": "choice", "choices": "AB"})
    assert load_dataset("sums", tmp_path).answer_formats == {"sums": AnswerFormat("choice", "AB")}


def test_a_variant_keeps_the_published_format(shared_data: Path) -> None:
    path = shared_data / "dataset_variants" / "date_understanding__teacher_choices.json"
    data = load_dataset_file(path)
    assert data.key.startswith("date_understanding-")
    assert list(data.answer_formats.values()) == [AnswerFormat("choice", choices="ABCDEF")]


def test_the_published_data_sets(shared_data: Path) -> None:
    sizes = {key: len(load_dataset(key, shared_data).samples) for key in ("aqua", "coin_flip", "addsub")}
    assert sizes == {"aqua": 254, "coin_flip": 500, "addsub": 395}
    assert load_dataset("aqua", shared_data).sample(97467).answer in "ABCDE"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no samples"),
        ({}, "it has no list `data`"),
        ([3], "row 0: is no object"),
        ([ROW, {"sample_index": 1, "question": "?"}], "row 1: has no 'answer'"),
        ([{**ROW, "sample_index": "5"}], "row 0: its 'sample_index' is no whole number: '5'"),
        ([{**ROW, "sample_index": True}], "row 0: its 'sample_index' is no whole number"),
        ([{**ROW, "answer": 2}], "row 0: its 'answer' is no text: 2"),
        ([ROW, ROW], "row 1: has the sample_index 5 of row 0 again"),
    ],
)
def test_other_content_is_named(tmp_path: Path, rows: Any, message: str) -> None:
    path = write(tmp_path, rows)
    with pytest.raises(DataError, match=message) as error:
        load_dataset("sums", tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("stated", ["colour", {"kind": "choice"}, {"kind": "number", "choices": "AB"}, [], 3])
def test_formats_that_are_none(tmp_path: Path, stated: Any) -> None:
    write(tmp_path, [ROW], answer_format=stated)
    with pytest.raises(DataError, match=r"answer_format is .*one of choice, number, yes_no, letters"):
        load_dataset("sums", tmp_path)


def test_half_a_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, [ROW])
    path.write_text(path.read_text()[:40])
    with pytest.raises(DataError, match=r"sums\.json, line 1, column \d+: is cut off or no JSON"):
        load_dataset("sums", tmp_path)


def test_keys_that_name_nothing(tmp_path: Path) -> None:
    write(tmp_path, [ROW])
    with pytest.raises(UsageError, match="there is no data set 'sum'; did you mean sums"):
        load_dataset("sum", tmp_path)
    with pytest.raises(UsageError, match=r"did you mean .*bundled_coin_flip"):
        load_dataset("bundled_coinflip", None)
    with pytest.raises(UsageError, match="path separator"):
        load_dataset("../sums", tmp_path)
    with pytest.raises(DataError, match=r"there is no data set gsm8k; .*ftcot data fetch gsm8k"):
        load_dataset("gsm8k", tmp_path)
    with pytest.raises(DataError, match="nowhere: there is no data folder; name its folder with --data-dir"):
        load_dataset("gsm8k", tmp_path / "nowhere")


def test_bundled_data_sets_need_no_folder() -> None:
    assert len(load_dataset("bundled_coin_flip", None).samples) == 300


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    samples = (Sample(4, "ü\n?", "A", "letters", "Why"), Sample(2, "b", "B", "mine"))
    formats = {"letters": AnswerFormat("choice", "ABC"), "mine": AnswerFormat("letters")}
    data = Dataset("mine", samples, "here", formats)
    path, written = store_dataset(data, tmp_path, {"source": "here"}, overwrite=False)
    assert written
    again = load_dataset("mine", tmp_path)
    assert (again.samples, again.answer_formats) == (samples, formats)
    assert store_dataset(data, tmp_path, {"source": "here"}, overwrite=False) == (path, False)
    other = Dataset("mine", samples[:1], "here", formats)
    with pytest.raises(DataError, match="is there already and differs; use --overwrite"):
        store_dataset(other, tmp_path, {}, overwrite=False)
    assert store_dataset(other, tmp_path, {}, overwrite=True) == (path, True)
    (tmp_path / "dataset" / ".hidden.json").touch()
    assert stored_keys(tmp_path) == ["mine"]
    assert stored_keys(None) == stored_keys(tmp_path / "nowhere") == []
    with pytest.raises(UsageError, match="is a bundled data set"):
        store_dataset(Dataset("bundled", samples, "", formats), tmp_path, {}, overwrite=True)
