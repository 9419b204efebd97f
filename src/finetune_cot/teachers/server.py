"""A server with OpenAI's interface as a teacher: OpenAI itself, vLLM, llama.cpp, Ollama and many more.

Each completion is a request of its own, because several servers ignore ``n``. Parameters are sent only where
they are set: no seed, which not all servers know; no stop strings where the template has none; and to OpenAI
no temperature of 1, its default, which some of its models do not let one name.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import openai

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import TeacherError
from finetune_cot.prompts.templates import (
    answer_messages,
    answer_prompt,
    chat_messages,
    is_two_step,
    prompt_text,
    stop_strings,
)
from finetune_cot.teachers.access import Access
from finetune_cot.teachers.client import async_client, error_line, refusal
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.steps import Step, completion_of

Endpoint = Literal["chat", "completions"]
Messages = list[dict[str, str]]

_FATAL = (
    openai.AuthenticationError,
    openai.PermissionDeniedError,
    openai.NotFoundError,
    openai.BadRequestError,
    openai.UnprocessableEntityError,
)
"""What would befall every other request too."""
_OF_THIS_PROMPT = frozenset({"content_filter", "context_length_exceeded"})
"""Codes of bad requests that concern one prompt alone."""
_PATIENCE = 3
"""Rounds of failures, each as many as there are requests at once, after which a run is given up; one without
any completion yet is given up after the first."""


@dataclass(frozen=True)
class Server:
    """Which model is asked, where and how."""

    model: str
    """Name of the model at the server."""
    access: Access
    """The server's address, and the key that it is sent."""
    endpoint: Endpoint = "chat"
    concurrency: int = 8
    """Requests at once."""
    timeout: float = 120.0
    """Seconds until a request is given up and tried again."""
    max_retries: int = 6
    """How often a failed request is tried again, ever more slowly."""


class OpenAITeacher:
    """A model behind OpenAI's chat or completions endpoint.

    Args:
        server: Which model is asked, where and how.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def teach(
        self, requests: Sequence[TeachRequest], recipe: Recipe, done: Collection[tuple[int, int]]
    ) -> Iterator[Sequence[Completion | Failure]]:
        """Answer the requests that are not done, in the order in which the server answers.

        Raises:
            TeacherError: the server refuses the key, the model or the way of asking, or does not answer.
        """
        queue = (request for request in requests if request.key not in done)
        with asyncio.Runner() as runner:
            client = async_client(self._server.access, self._server.timeout, self._server.max_retries)
            try:
                yield from self._answers(runner, client, queue, recipe)
            finally:
                runner.run(_close(client, asyncio.all_tasks(runner.get_loop())))

    def _answers(
        self,
        runner: asyncio.Runner,
        client: openai.AsyncOpenAI,
        queue: Iterator[TeachRequest],
        recipe: Recipe,
    ) -> Iterator[list[Completion | Failure]]:
        pending: set[asyncio.Task[Completion | Failure]] = set()
        failures, patience = 0, 1
        while True:
            room = self._server.concurrency - len(pending)
            for request in islice(queue, room):
                pending.add(runner.get_loop().create_task(self._ask(client, request, recipe)))
            if not pending:
                return
            finished, pending = runner.run(asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED))
            outcomes = [task.exception() or task.result() for task in finished]
            answered = [outcome for outcome in outcomes if isinstance(outcome, Completion | Failure)]
            if answered:
                yield answered
            for error in outcomes:
                if isinstance(error, BaseException):
                    raise error
            if any(isinstance(answer, Completion) for answer in answered):
                failures, patience = 0, _PATIENCE
            else:
                failures += len(answered)
            if failures >= patience * self._server.concurrency:
                raise self._gives_up(failures, answered)

    def _gives_up(self, failures: int, last: Sequence[Completion | Failure]) -> TeacherError:
        reason = next(answer.reason for answer in last if isinstance(answer, Failure))
        return TeacherError(
            f"the last {failures} requests all failed: {reason}",
            where=self._where,
            remedy="what is done is kept; run the same command again when the server answers",
        )

    @property
    def _where(self) -> str:
        return "OpenAI" if self._server.access.is_openai else self._server.access.base_url

    async def _ask(
        self, client: openai.AsyncOpenAI, request: TeachRequest, recipe: Recipe
    ) -> Completion | Failure:
        try:
            return await self._completion(client, request, recipe)
        except _FATAL as error:
            if error.code in _OF_THIS_PROMPT:
                return Failure(request.key, self._message(error))
            raise self._refusal(error) from None
        except openai.APIError as error:
            if error.code == "insufficient_quota":
                raise self._refusal(error) from None
            return Failure(request.key, self._message(error))
        except _NoCompletionError as error:
            return Failure(request.key, str(error))

    async def _completion(
        self, client: openai.AsyncOpenAI, request: TeachRequest, recipe: Recipe
    ) -> Completion:
        sample = request.sample
        few_shot = recipe.few_shot.get(sample.task)
        prompt = prompt_text(recipe.template, sample.question, few_shot=few_shot)
        messages = chat_messages(recipe.template, sample.question, few_shot)
        first = await self._request(client, prompt, messages, recipe, recipe.max_reasoning_tokens)
        if not is_two_step(recipe.template):
            return completion_of(request, first)
        prompt = answer_prompt(prompt, first.text)
        messages = answer_messages(sample.question, first.text)
        second = await self._request(client, prompt, messages, recipe, recipe.max_answer_tokens)
        return completion_of(request, first, second)

    async def _request(
        self, client: openai.AsyncOpenAI, prompt: str, messages: Messages, recipe: Recipe, limit: int
    ) -> Step:
        settings = self._settings(recipe)
        if self._server.endpoint == "completions":
            text = await client.completions.create(
                model=self._server.model, prompt=prompt, max_tokens=limit, **settings
            )
            return _read(text, prompt, lambda choice: choice.text)
        # OpenAI's newer models know the newer name alone, most other servers the older one.
        settings["max_completion_tokens" if self._server.access.is_openai else "max_tokens"] = limit
        turns: Any = messages
        chat = await client.chat.completions.create(model=self._server.model, messages=turns, **settings)
        return _read(chat, prompt, lambda choice: choice.message.content)

    def _settings(self, recipe: Recipe) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if recipe.temperature != 1 or not self._server.access.is_openai:
            settings["temperature"] = recipe.temperature
        if stop := stop_strings(recipe.template):
            settings["stop"] = list(stop)
        return settings

    def _refusal(self, error: openai.APIError) -> TeacherError:
        if error.param == "temperature":
            return TeacherError(
                f"the server refuses: {self._message(error)}",
                where=self._where,
                remedy="use --temperature 1, the only one that some models take",
            )
        return refusal(self._server.access, error, "check --model-key, --base-url and --endpoint")

    def _message(self, error: openai.APIError) -> str:
        return error_line(self._server.access, error)


class _NoCompletionError(Exception):
    """The server answered with something that is no completion."""


def _read(reply: Any, prompt: str, text_of: Callable[[Any], Any]) -> Step:
    try:
        choice = reply.choices[0]
        text = text_of(choice)
    except (AttributeError, IndexError, TypeError):
        raise _NoCompletionError("the server's answer is no completion") from None
    if not isinstance(text, str):
        reason = choice.finish_reason or "unknown"
        raise _NoCompletionError(f"the server's answer holds no text (finish reason: {reason})")
    usage = reply.usage
    counts = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
    return Step(prompt, text, choice.finish_reason, *counts)


async def _close(client: openai.AsyncOpenAI, tasks: set["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
