"""GLUE's tasks: their columns and labels, their parts, and what is refused."""

from pathlib import Path

import pytest

from finetune_cot.errors import DataError, UsageError
from finetune_cot.tasks.catalog import list_datasets
from finetune_cot.tasks.glue import GLUE, VALIDATION_FROM, glue_dataset, glue_task_of, label_space
from finetune_cot.tasks.reasoning import load_dataset
from finetune_cot.tasks.sample import Sample
from finetune_cot.tasks.splits import load_split
from tests.glue_files import SCHEMAS, write_glue, write_hub_copy, write_rows


@pytest.mark.parametrize("task", GLUE)
def test_every_task_is_read(task: str, tmp_path: Path) -> None:
    columns, labels = SCHEMAS[task]
    rows = [{column: f"{column} {label}" for column in columns} | {"label": label} for label in range(labels)]
    (tmp_path / "glue" / task).mkdir(parents=True)
    for part in ("train", "validation"):
        write_rows(tmp_path / "glue" / task / f"{part}.jsonl", rows)
    dataset = load_dataset(f"glue/{task}", tmp_path)
    assert dataset == load_dataset(f"glue-{task}", tmp_path)
    assert [sample.texts for sample in dataset.samples[:1]] == [tuple(f"{column} 0" for column in columns)]
    assert all(text in dataset.samples[0].question for text in dataset.samples[0].texts)
    space = label_space([task])
    assert [space.value(task, sample.answer) for sample in dataset.samples] == 2 * list(range(labels))
    split = load_split(dataset, tmp_path)
    assert split.train == tuple(range(labels))
    assert split.test == tuple(range(VALIDATION_FROM, VALIDATION_FROM + labels))


def test_they_are_listed(tmp_path: Path) -> None:
    write_glue(tmp_path, ("rte", "sst2"), train=6, validation=4)
    listed = {item.key: (item.samples, item.train, item.test) for item in list_datasets(tmp_path)}
    assert (listed["glue/sst2"], listed["glue/rte"]) == ((10, 6, 4), (10, 6, 4))


def test_a_sample_spelled_out(tmp_path: Path) -> None:
    write_glue(tmp_path, ("rte",))
    assert glue_dataset("glue/rte", tmp_path).samples[1] == Sample(
        1,
        "Ann has 1 apples.\nQuestion: Ann has pears. True or false?\nAnswer:",
        "not_entailment",
        "rte",
        texts=("Ann has 1 apples.", "Ann has pears."),
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"sentence": "a", "label": -1}, r"line 1: its label -1 is none of 0 negative, 1 positive"),
        ({"sentence": "a", "label": True}, r"its label True is none of"),
        ({"sentence": " ", "label": 1}, r"has no text in 'sentence'"),
        ({"text": "a", "label": 1}, r"has no text in 'sentence'"),
        ({"sentence": "a", "label": 1, "idx": "x"}, r"its idx 'x' is no number of its own"),
    ],
)
def test_a_row_of_another_form_is_named(row: dict[str, object], told: str, tmp_path: Path) -> None:
    write_glue(tmp_path, ("sst2",))
    write_rows(tmp_path / "glue" / "sst2" / "validation.jsonl", [row])
    with pytest.raises(DataError, match=told):
        load_dataset("glue/sst2", tmp_path)


def test_keys() -> None:
    assert (glue_task_of("glue/rte"), glue_task_of("glue-rte"), glue_task_of("rte")) == ("rte", "rte", None)
    with pytest.raises(UsageError, match="GLUE has no task 'sst'; did you mean glue/sst2"):
        glue_task_of("glue/sst")


def test_labels_are_rows_of_one_head() -> None:
    space = label_space(["sst2", "mnli", "stsb"])
    assert [list(space.rows(task)) for task in ("mnli", "sst2", "stsb")] == [[0, 1, 2], [3, 4], [5]]
    assert space.names[4:] == ("sst2: positive", "stsb: score")
    assert (space.answer("sst2", 1.0), space.answer("stsb", 3.75)) == ("positive", "3.75")


@pytest.mark.parametrize(("task", "parts"), [("sst2", (2000, 872)), ("rte", (2000, 277))])
def test_the_real_files(task: str, parts: tuple[int, int], shared_data: Path) -> None:
    if not (shared_data / "glue" / task).is_dir():
        pytest.skip(f"no glue/{task} at {shared_data}")
    dataset = load_dataset(f"glue/{task}", shared_data)
    split = load_split(dataset, shared_data)
    assert (len(split.train), len(split.test)) == parts
    assert {sample.answer for sample in dataset.samples} == set(GLUE[task].labels)


def test_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `datasets` reads it where a copy of the hub's repository lies; of MNLI the matched part."""
    from huggingface_hub import constants

    write_glue(tmp_path, ("rte",))
    parts = ("train", "validation_matched", "validation_mismatched")
    mnli = {
        part: [{"premise": part, "hypothesis": "b", "label": label, "idx": 7}]
        for label, part in enumerate(parts)
    }
    write_hub_copy(tmp_path, {"mnli": mnli})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    dataset = load_dataset("glue/mnli", tmp_path)
    assert [(sample.sample_index, sample.texts[0], sample.answer) for sample in dataset.samples] == [
        (7, "train", "entailment"),
        (VALIDATION_FROM + 7, "validation_matched", "neutral"),
    ]
    other = load_dataset("glue/mnli_mismatched", tmp_path)
    assert [(sample.task, sample.texts[0]) for sample in other.samples] == [("mnli", "validation_mismatched")]
    split = load_split(other, tmp_path)
    assert (other.key, split.train, split.test) == ("glue-mnli_mismatched", (), (VALIDATION_FROM + 7,))
    with pytest.raises(DataError, match="GLUE's qnli is neither here nor on the Hugging Face hub"):
        load_dataset("glue/qnli", tmp_path)
