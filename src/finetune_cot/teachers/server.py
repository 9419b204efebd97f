"""A server with OpenAI's interface as a teacher: OpenAI itself, vLLM, llama.cpp, Ollama and many more.

Each completion is a request of its own, because several servers ignore ``n``. Parameters are sent only where
they are set: no seed, which not all servers know; no stop strings where the template has none; and to OpenAI
no temperature of 1, its default, which some of its models do not let one name.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal
from urllib.parse import urlsplit

import openai

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import TeacherError, UsageError
from finetune_cot.prompts.templates import (
    answer_messages,
    answer_prompt,
    chat_messages,
    is_two_step,
    prompt_text,
    stop_strings,
)
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.steps import Step, completion_of

API_KEY = "OPENAI_API_KEY"
"""The only place that the key is read from; it is never written anywhere."""

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
    endpoint: Endpoint = "chat"
    base_url: str | None = None
    """The server's address, often ending in ``/v1``; None for OpenAI."""
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

    Raises:
        UsageError: there is no API key and no other server is named, or the address holds a name or password.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._api_key = os.environ.get(API_KEY, "")
        if not self._api_key and not server.base_url:
            raise UsageError(
                f"{API_KEY} is not set", remedy=f"export {API_KEY}, or name another server with --base-url"
            )
        if server.base_url and urlsplit(server.base_url).username:
            raise UsageError("holds a name or password", where="--base-url", remedy=f"give it in {API_KEY}")

    def teach(
        self, requests: Sequence[TeachRequest], recipe: Recipe, done: Collection[tuple[int, int]]
    ) -> Iterator[Sequence[Completion | Failure]]:
        """Answer the requests that are not done, in the order in which the server answers.

        Raises:
            TeacherError: the server refuses the key, the model or the way of asking, or does not answer.
        """
        queue = (request for request in requests if request.key not in done)
        with asyncio.Runner() as runner:
            client = self._client()
            try:
                yield from self._answers(runner, client, queue, recipe)
            finally:
                runner.run(_close(client, asyncio.all_tasks(runner.get_loop())))

    def _client(self) -> openai.AsyncOpenAI:
        server = self._server
        return openai.AsyncOpenAI(
            api_key=self._api_key or "none",
            base_url=server.base_url or "https://api.openai.com/v1",
            timeout=server.timeout,
            max_retries=server.max_retries,
        )

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
        return self._server.base_url or "OpenAI"

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
        settings["max_tokens" if self._server.base_url else "max_completion_tokens"] = limit
        turns: Any = messages
        chat = await client.chat.completions.create(model=self._server.model, messages=turns, **settings)
        return _read(chat, prompt, lambda choice: choice.message.content)

    def _settings(self, recipe: Recipe) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if recipe.temperature != 1 or self._server.base_url:
            settings["temperature"] = recipe.temperature
        if stop := stop_strings(recipe.template):
            settings["stop"] = list(stop)
        return settings

    def _refusal(self, error: openai.APIError) -> TeacherError:
        remedies: dict[type[openai.APIError], str] = {
            openai.AuthenticationError: f"check {API_KEY}",
            openai.PermissionDeniedError: f"check what {API_KEY} may do, and --model-key",
            openai.NotFoundError: "check --model-key, --base-url and --endpoint",
            openai.RateLimitError: "check the account's balance; what is done is kept",
        }
        remedy = remedies.get(type(error), "check --model-key and the options of the request")
        if error.param == "temperature":
            remedy = "use --temperature 1, the only one that some models take"
        return TeacherError(f"the server refuses: {self._message(error)}", where=self._where, remedy=remedy)

    def _message(self, error: openai.APIError) -> str:
        """One line of what went wrong; a key that the server repeats is left out."""
        told = error.body.get("message") if isinstance(error.body, dict) else None
        status = f" (HTTP {error.status_code})" if isinstance(error, openai.APIStatusError) else ""
        message = " ".join(str(told or error.message).split()).rstrip(".")[:300]
        return (message.replace(self._api_key, "***") if self._api_key else message) + status


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
