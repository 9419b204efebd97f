import json
from pathlib import Path
from typing import Any

import pytest

from finetune_cot.errors import DataError
from finetune_cot.tasks.instruction import InstructionData, Message, read_instruction_data


def read(tmp_path: Path, *rows: dict[str, Any], **options: Any) -> InstructionData:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_instruction_data(path, **options)


def turns(*contents: str) -> tuple[Message, ...]:
    return tuple(Message(("user", "assistant")[i % 2], content) for i, content in enumerate(contents))


@pytest.mark.parametrize(
    ("form", "row", "messages"),
    [
        ("alpaca", {"instruction": "Add.", "input": "1, 2", "output": "3"}, turns("Add.\n\n1, 2", "3")),
        ("alpaca", {"instruction": "Sing.", "input": "", "output": "La"}, turns("Sing.", "La")),
        ("alpaca", {"instruction": "Sing.", "output": "La"}, turns("Sing.", "La")),
        (
            "dolly",
            {"instruction": "Who?", "context": "Ada.", "response": "Ada"},
            turns("Who?\n\nAda.", "Ada"),
        ),
        ("prompt/completion", {"prompt": "1 + 1 =", "completion": " 2"}, turns("1 + 1 =", " 2")),
        (
            "prompt/completion",
            {
                "prompt": [{"role": "user", "content": "Hi"}],
                "completion": [{"role": "assistant", "content": "Ho"}],
            },
            turns("Hi", "Ho"),
        ),
        (
            "messages",
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Ho"},
                ]
            },
            (Message("system", "Be kind."), *turns("Hi", "Ho")),
        ),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "human", "value": "Hi"},
                    {"from": "gpt", "value": "Ho"},
                    {"from": "human", "value": "?"},
                    {"from": "gpt", "value": "!"},
                ]
            },
            turns("Hi", "Ho", "?", "!"),
        ),
        (
            "question/answer",
            {"question": "1 + 1?", "answer": "2", "rationale": "One and one."},
            turns("1 + 1?", "One and one.\nThe answer is 2."),
        ),
        ("question/answer", {"question": "1 + 1?", "answer": "2"}, turns("1 + 1?", "2")),
        (
            "seed tasks",
            {"instruction": "Add.", "instances": [{"input": "1, 2", "output": "3"}]},
            turns("Add.\n\n1, 2", "3"),
        ),
    ],
)
def test_every_form(tmp_path: Path, form: str, row: dict[str, Any], messages: tuple[Message, ...]) -> None:
    data = read(tmp_path, row)
    assert data.format == form
    assert [example.messages for example in data.examples] == [messages]
    assert data.tasks == ("mine",)


def test_tasks_indices_and_empty_rows(tmp_path: Path) -> None:
    rows = [
        {"instruction": "a", "output": "1", "skill": "write"},
        {"instruction": "b", "output": " ", "skill": "write"},
        {"instruction": "c", "output": "3", "skill": "add"},
    ]
    data = read(tmp_path, *rows)
    assert [(example.sample_index, example.task) for example in data.examples] == [(0, "write"), (2, "add")]
    assert data.tasks == ("add", "write")
    assert data.left_out == (f"{tmp_path / 'mine.jsonl'}, line 2",)
    assert len(read(tmp_path, *rows, limit=1).examples) == 1
    numbered = [{**row, "sample_index": 10 + place} for place, row in enumerate(rows)]
    assert [example.sample_index for example in read(tmp_path, *numbered).examples] == [10, 12]
    assert read(tmp_path, *rows, task_field="output").tasks == ("1", "3")


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"a": "1"}], {}, r"line 1: is of no known form: its columns are a; every row needs messages; or"),
        (
            [{"instruction": "a", "output": "1"}, {"instruction": "b"}],
            {},
            r"mine\.jsonl, line 2: has no 'output'",
        ),
        ([{"instruction": "a", "output": 1}], {}, "line 1: its 'output' is no text"),
        ([{"messages": []}], {}, "its 'messages' is no list of messages"),
        ([{"messages": [{"role": "user", "content": "a"}]}], {}, "its last message is the user's"),
        ([{"messages": [{"role": "tool", "content": "a"}]}], {}, "a message has the role 'tool'"),
        ([{"messages": [{"role": "user", "content": None}]}], {}, "the 'content' of a message is no text"),
        ([{"messages": ["a"]}], {}, "a message has the role None"),
        ([{"instruction": "a", "instances": 3}], {}, "its 'instances' is no list of objects"),
        ([{"instruction": "a", "output": ""}], {}, "no row has both a prompt and a completion"),
        ([{"instruction": "a", "output": "b", "skill": ""}], {}, "its 'skill' is empty"),
        (
            [{"instruction": "a", "output": "b"}],
            {"task_field": "topic"},
            "no row has the column 'topic' for its task; --task-field can be one of instruction, output",
        ),
        (
            [{"instruction": "a", "output": "b", "sample_index": 1}] * 2,
            {},
            "line 2: has the sample_index 1 of an earlier row",
        ),
    ],
)
def test_other_rows_are_named(
    tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, *rows, **options)


def test_natural_instructions(tmp_path: Path) -> None:
    path = tmp_path / "task1.json"
    task = {"Definition": ["Add."], "Instances": [{"input": "1, 2", "output": ["3", "three"]}]}
    path.write_text(json.dumps(task))
    data = read_instruction_data(path)
    assert data.format == "natural-instructions"
    assert data.examples[0].messages == turns("Add.\n\n1, 2", "3")
    assert data.tasks == ("task1",)


@pytest.mark.parametrize(
    ("name", "form", "examples", "tasks"),
    [
        ("alpaca_skills.jsonl", "alpaca", 13_878, 38),
        ("dolly_categories.jsonl", "alpaca", 2996, 8),
        ("seed_tasks.jsonl", "seed tasks", 175, 1),
        ("p3_tasks.jsonl", "alpaca", 5200, 26),
        ("natural_instructions", "natural-instructions", 4628, 24),
    ],
)
def test_the_published_instruction_data(
    shared_data: Path, name: str, form: str, examples: int, tasks: int
) -> None:
    data = read_instruction_data(shared_data / "instruction" / name)
    assert data.format == form
    assert len(data.examples) + len(data.left_out) == examples
    assert len(data.left_out) < examples / 50
    assert len(data.tasks) == tasks
