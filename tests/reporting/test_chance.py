from pathlib import Path

import pytest

from finetune_cot.reporting.chance import dataset_facts, dataset_table
from finetune_cot.tasks.sample import AnswerFormat, Dataset, Sample

CHOICE, YES_NO, NUMBER = AnswerFormat("choice", "ABCD"), AnswerFormat("yes_no"), AnswerFormat("number")


def dataset(answers: str, answer_format: AnswerFormat) -> Dataset:
    samples = tuple(Sample(index, "?", answer, "task") for index, answer in enumerate(answers))
    return Dataset("mine", samples, "here", {"task": answer_format})


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Four samples to train on, two to measure on."""
    (tmp_path / "split").mkdir()
    text = '{"train": [0, 1, 2, 3], "test": [4, 5]}'
    (tmp_path / "split" / "mine__default.json").write_text(text)
    return tmp_path


def test_drawing_from_the_training_answers_is_right_as_often_as_they_occur(split: Path) -> None:
    facts = dataset_facts(dataset("AABCAD", CHOICE), split, "default")
    assert (facts.samples, facts.train, facts.test) == (6, 4, 2)
    assert facts.random == 0.25
    assert facts.train_random == pytest.approx((0.5 + 0.0) / 2)  # A is half of them, D is none


@pytest.mark.parametrize(("answer_format", "random"), [(YES_NO, 0.5), (NUMBER, None)])
def test_only_answers_from_a_list_can_be_guessed(
    split: Path, answer_format: AnswerFormat, random: float | None
) -> None:
    assert dataset_facts(dataset("123456", answer_format), split, "default").random == random


def test_without_a_split_all_samples_count(tmp_path: Path) -> None:
    facts = dataset_facts(dataset("AABB", CHOICE), tmp_path, "template")
    assert (facts.train, facts.test, facts.random, facts.train_random) == (None, None, 0.25, None)
    (row,) = dataset_table([facts]).rows
    assert [cell.text for cell in row] == ["mine", "1", "4", "", "", "25.0", ""]
