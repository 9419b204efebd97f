"""Requests as the lines of a batch's file, and the lines that come back."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from finetune_cot.artifacts.batch_ledger import Reasoning
from finetune_cot.artifacts.completions import Completion
from finetune_cot.artifacts.files import sha256_json
from finetune_cot.prompts.templates import (
    answer_messages,
    answer_prompt,
    chat_messages,
    prompt_text,
)
from finetune_cot.teachers.asking import Server
from finetune_cot.teachers.client import told_by
from finetune_cot.teachers.dialect import Dialect, wanted_parameters
from finetune_cot.teachers.protocol import Recipe, TeachRequest
from finetune_cot.teachers.replies import NoCompletionError, NoTextError, reply_of
from finetune_cot.teachers.retries import is_of_this_prompt
from finetune_cot.teachers.steps import BY_BATCH, Step, completion_of, step_of_choice
from finetune_cot.teachers.usage import TokenUsage

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
"""What a batch's file may hold, by OpenAI's limits."""

_HASH_LENGTH = 12
_BAD = (400, 422)
"""Statuses of a request that is bad."""


@dataclass(frozen=True)
class BatchLine:
    """A request of a batch."""

    request: TeachRequest
    prompt: str
    """As it is recorded."""
    parameters: Mapping[str, Any]
    """What is sent besides the model and the prompt."""
    custom_id: str
    """Sample index, completion index, step, and a hash of all that is sent."""
    text: str
    """The line itself, with its end."""


@dataclass(frozen=True)
class NoAnswer:
    """Why a request of a batch got no answer."""

    reason: str
    """In one line."""
    is_form: bool = False
    """Whether it is bad by how it asks, and not by what."""
    parameter: str | None = None
    """The parameter that the server names, if it does."""


def dialect_of(server: Server, refused: Iterable[str]) -> Dialect:
    """How requests of a batch are written: without parameters that the server has refused."""
    return Dialect(server.access.is_openai, server.endpoint == "chat", refused)


def parameters_of(dialect: Dialect, recipe: Recipe, step: int, completion_index: int) -> dict[str, Any]:
    """What is sent besides the model and the prompt with the first or the second step of a completion."""
    limit = recipe.max_reasoning_tokens if step == 1 else recipe.max_answer_tokens
    return dialect.parameters(wanted_parameters(recipe, limit, completion_index))


def batch_line(
    server: Server,
    recipe: Recipe,
    request: TeachRequest,
    reasoning: Reasoning | None,
    refused: Iterable[str] = (),
) -> BatchLine:
    """The line that asks for the first step, or, after a reasoning, for the second.

    Args:
        server: Which model is asked, and where.
        recipe: How completions are asked for.
        request: The completion.
        reasoning: Its first step, if it is there.
        refused: Parameters that the server has refused.

    Raises:
        UsageError: as `prompt_text`.
    """
    sample = request.sample
    few_shot = recipe.few_shot.get(sample.task)
    prompt = prompt_text(recipe.template, sample.question, few_shot=few_shot)
    messages = chat_messages(recipe.template, sample.question, few_shot)
    step = 2 if reasoning else 1
    if reasoning:
        prompt = answer_prompt(prompt, step_of(reasoning).text)
        messages = answer_messages(sample.question, step_of(reasoning).text)
    parameters = parameters_of(dialect_of(server, refused), recipe, step, request.completion_index)
    asked = {"messages": messages} if server.endpoint == "chat" else {"prompt": prompt}
    body = {"model": server.model, **asked, **parameters}
    digest = sha256_json(body)[:_HASH_LENGTH]
    custom_id = f"{sample.sample_index}-{request.completion_index}-{step}-{digest}"
    line = {"custom_id": custom_id, "method": "POST", "url": endpoint_path(server), "body": body}
    text = json.dumps(line, ensure_ascii=False) + "\n"
    return BatchLine(request, prompt, parameters, custom_id, text)


def endpoint_path(server: Server) -> str:
    """The endpoint as a batch names it."""
    return "/v1/chat/completions" if server.endpoint == "chat" else "/v1/completions"


def split_lines(
    lines: Iterable[BatchLine], max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES
) -> Iterator[list[BatchLine]]:
    """Lines in their order, in files that a server takes."""
    part: list[BatchLine] = []
    size = 0
    for line in lines:
        length = len(line.text.encode())
        if part and (len(part) == max_requests or size + length > max_bytes):
            yield part
            part, size = [], 0
        part.append(line)
        size += length
    if part:
        yield part


def read_answers(content: bytes) -> Iterator[tuple[str, Mapping[str, Any] | NoAnswer]]:
    """The custom id of each line of an output or error file, with the reply, or why there is none."""
    for line in content.splitlines():
        try:
            answer = json.loads(line)
            custom_id = answer["custom_id"]
        except (ValueError, KeyError, TypeError):
            continue  # whose request it was cannot be known; it counts as one without an answer
        if isinstance(custom_id, str):
            yield custom_id, _reply_or_reason(answer)


def _reply_or_reason(answer: Mapping[str, Any]) -> Mapping[str, Any] | NoAnswer:
    response, error = answer.get("response"), answer.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    body = response.get("body") if isinstance(response, dict) else None
    if not error and status == 200 and isinstance(body, dict):
        return body
    if not error and isinstance(body, dict):
        error = body.get("error") or body
    code, named = (error.get("code"), error.get("param")) if isinstance(error, dict) else (None, None)
    told = told_by(error) or code or "the server's answer is no completion"
    told = " ".join(str(told).split()).rstrip(".")[:300]
    is_form = status in _BAD and not is_of_this_prompt(code, told)
    reason = f"{told} (HTTP {status})" if status not in (None, 200) else told
    return NoAnswer(reason, is_form, named if isinstance(named, str) else None)


def reasoning_of(request: TeachRequest, step: Step) -> Reasoning:
    """The first of two steps as it is kept."""
    return Reasoning(request.sample.sample_index, request.completion_index, asdict(step))


def step_of(reasoning: Reasoning) -> Step:
    """The step that was kept."""
    kept = dict(reasoning.step)
    return Step(**{**kept, "usage": TokenUsage(**kept["usage"])})


def batch_completion(request: TeachRequest, *steps: Step) -> Completion:
    """The completion of steps that batches brought."""
    completion = completion_of(request, *steps)
    return replace(completion, extra={**completion.extra, BY_BATCH: True})


def read_step(reply: Mapping[str, Any], line: BatchLine) -> Step | str:
    """The step that a reply holds, or why there is none."""
    try:
        read = reply_of(reply, line.parameters)
    except (NoCompletionError, NoTextError) as error:
        return str(error)
    return step_of_choice(line.prompt, read.choices[0], read.usage, line.parameters)
