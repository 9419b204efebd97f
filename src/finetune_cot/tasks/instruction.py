"""Instruction data: conversations that end with what the model is to learn to say, each of a task.

The form is seen from the columns of the first row; `FORMS` lists them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from finetune_cot.errors import DataError
from finetune_cot.tasks.tables import Row, Table, read_tables, row_index

DEFAULT_TASK_FIELD = "skill"
_MEND = "mend or remove that row"


@dataclass(frozen=True)
class Message:
    """A turn of a conversation."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    content: str


@dataclass(frozen=True)
class InstructionExample:
    """A conversation whose last message is the assistant's."""

    sample_index: int
    task: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class InstructionData:
    """The examples of a source."""

    examples: tuple[InstructionExample, ...]
    format: str
    """What the rows were recognized as, for the user."""
    tasks: tuple[str, ...]
    """The tasks of the examples, sorted, so that their numbers do not depend on the order of rows."""
    left_out: tuple[str, ...] = ()
    """Places of rows with nothing to ask or nothing to learn."""


def read_instruction_data(
    source: str | Path, task_field: str = DEFAULT_TASK_FIELD, limit: int | None = None
) -> InstructionData:
    """Instruction data of a file, a folder or a Hugging Face data set; see `read_tables`.

    The sample index is the row's number, from 0, unless a column ``sample_index`` gives it. Rows with an
    empty prompt or an empty completion are left out and named.

    Args:
        source: Where the data are.
        task_field: Column with the task of a row. Where no row has the default one, the task is the ``task``
            of a data set's row, or else the name of the file or data set.
        limit: Only the first so many examples.

    Raises:
        DataError: the data are not there, torn, empty, of an unknown form, or lack a needed field; names the
            line.
    """
    return instruction_data(read_tables(source), task_field, source, limit)


def instruction_data(
    tables: Sequence[Table], task_field: str, source: object, limit: int | None = None
) -> InstructionData:
    """Instruction data of tables; see `read_instruction_data`."""
    examples: dict[int, InstructionExample] = {}
    left_out: list[str] = []
    rows = (item for table in tables for item in _conversations(table, task_field))
    for number, (row, task, messages) in enumerate(rows):
        if not all(message.content.strip() for message in messages):
            left_out.append(row.where)
            continue
        index = row_index(row, number)
        if index in examples:
            raise DataError(f"has the sample_index {index} of an earlier row", where=row.where, remedy=_MEND)
        examples[index] = InstructionExample(index, task, messages)
    if not examples:
        raise DataError(
            "no row has both a prompt and a completion", where=source, remedy="check the file, or its columns"
        )
    kept = tuple(examples.values())[:limit]
    forms = dict.fromkeys(_form(table) if table.form == "rows" else table.form for table in tables)
    tasks = sorted({example.task for example in kept})
    return InstructionData(kept, " and ".join(forms), tuple(tasks), tuple(left_out))


def _conversations(table: Table, task_field: str) -> Iterator[tuple[Row, str, tuple[Message, ...]]]:
    form, task_of = FORMS[_form(table)], _task_reader(table, task_field)
    return ((row, task_of(row), messages) for row in table.rows for messages in form.read(row))


def _form(table: Table) -> str:
    columns = table.rows[0].fields
    for name, form in FORMS.items():
        if all(column in columns for column in form.columns):
            return name
    raise DataError(
        f"is of no known form: its columns are {', '.join(columns) or 'none'}",
        where=table.rows[0].where,
        remedy="every row needs " + "; or ".join(" and ".join(form.columns) for form in FORMS.values()),
    )


def _task_reader(table: Table, task_field: str) -> Callable[[Row], str]:
    columns = {column for row in table.rows for column in row.fields}
    if task_field in columns:
        return lambda row: _text(row, task_field, empty=False)
    if task_field != DEFAULT_TASK_FIELD:
        raise DataError(
            f"no row has the column {task_field!r} for its task",
            where=table.rows[0].where,
            remedy=f"--task-field can be one of {', '.join(sorted(columns))}",
        )
    if table.form == "data set":
        return lambda row: _text(row, "task", empty=False) if "task" in row.fields else table.name
    return lambda row: table.name


def _text(row: Row, column: str, *, empty: bool = True) -> str:
    if column not in row.fields:
        raise DataError(f"has no {column!r}", where=row.where, remedy=_MEND)
    value = row.fields[column]
    if not isinstance(value, str) or not (empty or value):
        what = f"its {column!r} is {'empty' if value == '' else 'no text'}"
        raise DataError(what, where=row.where, remedy=_MEND)
    return value


def _pair(prompt: Sequence[str], completion: str) -> Callable[[Row], list[tuple[Message, ...]]]:
    """Reads one question and answer; all columns of the prompt but the first may be missing or empty."""

    def read(row: Row) -> list[tuple[Message, ...]]:
        first, *others = prompt
        parts = [_text(row, first), *(_text(row, column) for column in others if row.fields.get(column))]
        return [_turns("\n\n".join(part for part in parts if part.strip()), _text(row, completion))]

    return read


def _turns(prompt: str, completion: str) -> tuple[Message, ...]:
    return Message("user", prompt), Message("assistant", completion)


def _read_worked_answer(row: Row) -> list[tuple[Message, ...]]:
    answer = _text(row, "answer")
    if row.fields.get("rationale"):
        answer = f"{_text(row, 'rationale')}\nThe answer is {answer}." if answer.strip() else ""
    return [_turns(_text(row, "question"), answer)]


def _read_prompt_and_completion(row: Row) -> list[tuple[Message, ...]]:
    if isinstance(row.fields.get("prompt"), list):
        return [_conversation(row, ("prompt", "completion"), "role", "content")]
    return _pair(("prompt",), "completion")(row)


def _read_seed_task(row: Row) -> list[tuple[Message, ...]]:
    instances = row.fields.get("instances")
    if not isinstance(instances, list) or not all(isinstance(instance, dict) for instance in instances):
        raise DataError("its 'instances' is no list of objects", where=row.where, remedy=_MEND)
    instruction = _text(row, "instruction")
    return [
        conversation
        for instance in instances
        for conversation in _ALPACA.read(Row({**instance, "instruction": instruction}, row.where))
    ]


_ROLES = {"human": "user", **dict.fromkeys(("gpt", "chatgpt", "bing", "bard"), "assistant")}
"""Names of roles in ShareGPT's data."""


def _conversation(row: Row, columns: Sequence[str], role_key: str, content_key: str) -> tuple[Message, ...]:
    messages: list[Message] = []
    for column in columns:
        turns = row.fields.get(column)
        if not isinstance(turns, list) or not turns:
            raise DataError(f"its {column!r} is no list of messages", where=row.where, remedy=_MEND)
        messages += (_message(turn, row, role_key, content_key) for turn in turns)
    if messages[-1].role != "assistant":
        raise DataError(f"its last message is the {messages[-1].role}'s", where=row.where, remedy=_MEND)
    return tuple(messages)


def _message(turn: Any, row: Row, role_key: str, content_key: str) -> Message:
    role, content = (turn.get(key) if isinstance(turn, dict) else None for key in (role_key, content_key))
    role = _ROLES.get(str(role), role)
    if role not in ("system", "user", "assistant"):
        raise DataError(f"a message has the {role_key} {role!r}", where=row.where, remedy=_MEND)
    if not isinstance(content, str):
        raise DataError(f"the {content_key!r} of a message is no text", where=row.where, remedy=_MEND)
    return Message(role, content)


@dataclass(frozen=True)
class _Form:
    columns: tuple[str, ...]
    """Columns that every row must have."""
    read: Callable[[Row], list[tuple[Message, ...]]]
    """Conversations of a row."""


_ALPACA = _Form(("instruction", "output"), _pair(("instruction", "input"), "output"))

FORMS: Mapping[str, _Form] = MappingProxyType(
    {
        "messages": _Form(("messages",), lambda row: [_conversation(row, ["messages"], "role", "content")]),
        "sharegpt": _Form(
            ("conversations",), lambda row: [_conversation(row, ["conversations"], "from", "value")]
        ),
        "alpaca": _ALPACA,
        "dolly": _Form(("instruction", "response"), _pair(("instruction", "context"), "response")),
        "prompt/completion": _Form(("prompt", "completion"), _read_prompt_and_completion),
        "question/answer": _Form(("question", "answer"), _read_worked_answer),
        "seed tasks": _Form(("instruction", "instances"), _read_seed_task),
    }
)
"""How rows are read, by what they are recognized as."""
