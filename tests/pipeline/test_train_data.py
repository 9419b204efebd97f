"""What is trained on and what is held out."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_cot.artifacts.finetune_data import FinetuneRow, write_finetune_json
from finetune_cot.artifacts.ids import FinetuneDataId
from finetune_cot.artifacts.manifest import start
from finetune_cot.artifacts.task_groups import TaskGroups, write_task_groups
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, DataError, UsageError
from finetune_cot.pipeline.train_data import (
    TrainingData,
    TrainingText,
    divide,
    in_task_groups,
    read_training_data,
    text_segments,
    texts_digest,
)
from finetune_cot.prompts.segments import Segment


def texts(count: int, tasks: int = 2, per_question: int = 1) -> tuple[TrainingText, ...]:
    return tuple(
        TrainingText(index, f"task_{index % tasks}", f"question {index}", f"reason {copy}", "7")
        for index in range(count)
        for copy in range(per_question)
    )


def data_of(items: tuple[TrainingText, ...]) -> TrainingData:
    return TrainingData("source", "key", "ft_cot_token", items)


def write_rows(saved_dir: Path, rows: list[FinetuneRow], **metadata: Any) -> None:
    path = FinetuneDataId("custom", "mine").path(saved_dir)
    write_finetune_json(path, rows, metadata, start("build-finetune-data", {}).manifest(), overwrite=False)


questions = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), min_size=1, max_size=60)


@given(questions, st.floats(0, 0.99), st.integers(0, 9))
def test_no_question_is_asked_on_both_sides(asked: list[tuple[str, int]], share: float, seed: int) -> None:
    """Also where several tasks ask the same question, or one of them asks it several times."""
    items = tuple(
        TrainingText(position, task, f"question {number}", "r", "a")
        for position, (task, number) in enumerate(asked)
    )
    parts = divide(data_of(items), TrainConfig(dev_fraction=share, seed=seed))
    train, dev = ({text.question for text in part} for part in (parts.train, parts.dev))
    assert not train & dev
    assert sorted(text.sample_index for text in (*parts.train, *parts.dev)) == list(range(len(items)))
    assert parts.train


def test_each_task_gives_its_share() -> None:
    parts = divide(data_of(texts(40, tasks=2, per_question=3)), TrainConfig(dev_fraction=0.1))
    held_out = [text.task for text in parts.dev]
    assert held_out.count("task_0") == held_out.count("task_1") == 2 * 3
    assert len(parts.train) == 120 - 12
    assert divide(data_of(texts(40)), TrainConfig(dev_fraction=0)).dev == ()


def test_the_division_depends_on_the_seed_and_not_on_the_run() -> None:
    data = data_of(texts(40))
    first = divide(data, TrainConfig())
    assert divide(data, TrainConfig(run=3)) == first
    assert divide(data, TrainConfig(seed=1)) != first


def test_downsampling_takes_from_every_task_and_leaves_the_dev_set() -> None:
    data = data_of(texts(60, tasks=3))
    whole, half, tenth = (divide(data, TrainConfig(downsample=share)) for share in (1.0, 0.5, 0.1))
    assert whole.dev == half.dev == tenth.dev
    assert {text.task for text in tenth.train} == {"task_0", "task_1", "task_2"}
    assert set(tenth.train) < set(half.train) < set(whole.train)
    assert len(half.train) == 27


def test_tasks_by_their_number_in_the_sorted_list() -> None:
    data = data_of(texts(30, tasks=3))
    parts = divide(data, TrainConfig(), (2, 0), "trained")
    assert parts.task_indices == (0, 2)
    assert {text.task for text in parts.train} == {text.task for text in parts.dev} == {"task_0", "task_2"}
    wide = divide(data, TrainConfig(), (2,))
    assert {text.task for text in wide.train} == {"task_2"}
    assert {text.task for text in wide.dev} == {"task_0", "task_1", "task_2"}
    with pytest.raises(UsageError, match=r"--task-idxes: there is no task 3: there are 3, from 0; 0 task_0"):
        divide(data, TrainConfig(), (3,))


def test_groups_take_the_place_of_tasks_without_another_division(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_of(texts(60, tasks=3, per_question=2))
    numbers = {task: {i: int(i > 20) for i in range(58) if i % 3 == int(task[-1])} for task in data.tasks}
    digest = texts_digest(data.texts, data.template)
    groups = TaskGroups("clusters_2", digest, ("cluster_00", "cluster_01"), numbers)
    path = tmp_path / "groups.json"
    write_task_groups(path, groups, start("select", {}).manifest(), overwrite=False)
    grouped = in_task_groups(data, path)
    assert in_task_groups(data, None) == data
    assert grouped.tasks == ("cluster_00", "cluster_01")
    config = TrainConfig(downsample=0.5)
    plain, parts = divide(data, config), divide(grouped, config)
    for before, after in ((plain.train, parts.train), (plain.dev, parts.dev)):
        known = [text for text in before if text.sample_index < 58]
        assert [(text.sample_index, text.question) for text in after] == [
            (text.sample_index, text.question) for text in known
        ]
        assert all(text.task == f"cluster_0{int(text.sample_index > 20)}" for text in after)
    assert "samples are in no group of clusters_2 and left out" in capsys.readouterr().err
    alone = divide(grouped, config, (1,), "trained")
    assert {text.task for text in (*alone.train, *alone.dev)} == {"cluster_01"}
    with pytest.raises(ArtifactError, match="holds groups of other samples"):
        in_task_groups(data_of(texts(61, tasks=3, per_question=2)), path)


def test_built_training_data(saved_dir: Path) -> None:
    rows = [FinetuneRow(index, 0, "sums", f"question {index}", "because", "7") for index in range(4)]
    write_rows(saved_dir, rows, template="ft_cot_natural", teacher="big", rationales_per_question=1)
    data = read_training_data(TrainConfig(saved_dir=saved_dir, finetune_key="mine"))
    assert (data.source, data.finetune_key, data.template) == ("mine", "mine", "ft_cot_natural")
    assert (data.teacher, data.rationales_per_question, data.tasks) == ("big", 1, ("sums",))
    assert text_segments(data.texts[0], data.template, "decoder", None) == (
        Segment("Q: question 0\n\nA: Let's think step by step.\n\n", labelled=False),
        Segment(" because\n\nTherefore the answer is 7", labelled=True),
    )
    token = read_training_data(TrainConfig(saved_dir=saved_dir, finetune_key="mine", template="ft_token"))
    assert text_segments(token.texts[0], token.template, "decoder", None)[1].text == " 7"
    assert texts_digest(data.texts, data.template) != texts_digest(token.texts, token.template)


def test_a_sample_without_rationale_is_left_out_where_one_is_needed(saved_dir: Path) -> None:
    rows = [
        FinetuneRow(0, 0, "t", "q", "because", "7"),
        FinetuneRow(1, 0, "t", "r", None, "8"),
    ]
    write_rows(saved_dir, rows)
    data = read_training_data(TrainConfig(saved_dir=saved_dir, finetune_key="mine"))
    assert (len(data.texts), data.left_out, data.template) == (1, 1, "ft_cot_token")


def test_nothing_to_train_on(saved_dir: Path) -> None:
    write_rows(saved_dir, [FinetuneRow(0, 0, "t", "q", None, "7")])
    config = TrainConfig(saved_dir=saved_dir, finetune_key="mine", template="ft_cot_token")
    with pytest.raises(DataError, match="mine: there is nothing to train on"):
        read_training_data(config)
    with pytest.raises(ArtifactError, match=r"F_missing\.json: is not there"):
        read_training_data(TrainConfig(saved_dir=saved_dir, finetune_key="missing"))


def test_a_data_set_gives_its_train_part() -> None:
    data = read_training_data(TrainConfig(dataset_key="bundled_coin_flip"))
    assert data.template == "ft_cot_token"
    assert data.tasks == ("coin_flip",)
    assert (data.source, data.rationales_per_question) == ("bundled_coin_flip", 1)


@pytest.mark.parametrize(("name", "source"), [("alpaca_small", "Alpaca"), ("mine", "Instruction")])
def test_instruction_data(name: str, source: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.jsonl"
    rows = [{"instruction": f"do {index}", "output": "done", "skill": f"s{index % 2}"} for index in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = read_training_data(TrainConfig(data_path=str(path)))
    assert (data.source, data.finetune_key, data.template, data.tasks) == (source, name, None, ("s0", "s1"))
    prompt, label = text_segments(data.texts[0], data.template, "decoder", None)
    assert (prompt.labelled, label.labelled, label.text) == (False, True, "done")
    with pytest.raises(UsageError, match="--template"):
        read_training_data(TrainConfig(data_path=str(path), template="ft_token"))
    with pytest.raises(UsageError, match="not both"):
        read_training_data(TrainConfig(data_path=str(path), finetune_key="mine"))


def test_published_data(shared_data: Path) -> None:
    data = read_training_data(TrainConfig(dataset_key="gsm8k", data_dir=shared_data))
    assert len(data.texts) == 7473
    assert data.template == "ft_cot_token"
