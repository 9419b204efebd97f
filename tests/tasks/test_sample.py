import pytest

from finetune_cot.errors import DataError
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample


def dataset(*indices: int, task: str = "sums") -> Dataset:
    samples = tuple(Sample(index, f"What is {index} + 1?", str(index + 1), task) for index in indices)
    return Dataset("sums", samples, "sums.json", {"sums": AnswerFormat("number")})


def test_samples_are_looked_up_by_index_and_not_by_position() -> None:
    sums = dataset(97467, 3, 0)
    assert sums.sample(3).answer == "4"
    assert [sample.answer for sample in sums.select([0, 97467])] == ["1", "97468"]


def test_a_missing_index_names_data_set_and_file() -> None:
    with pytest.raises(DataError, match=r"^sums\.json: sums has no sample 1;"):
        dataset(0, 2).select([0, 1])


def test_two_samples_of_one_index_are_refused() -> None:
    with pytest.raises(DataError, match="same sample_index"):
        dataset(1, 2, 1)


def test_a_task_without_answer_format_is_refused() -> None:
    with pytest.raises(DataError, match="no answer format is known for dates"):
        dataset(1, task="dates")


def test_tasks_in_order_of_appearance() -> None:
    formats = {"sums": AnswerFormat("number"), "dates": AnswerFormat("choice", choices="ABC")}
    samples = (Sample(0, "", "", "sums"), Sample(1, "", "", "dates"), Sample(2, "", "", "sums"))
    assert Dataset("both", samples, "both.json", formats).tasks == ("sums", "dates")
