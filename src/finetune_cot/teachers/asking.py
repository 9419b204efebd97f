"""One request, again and again until it is answered, or until it is known that it will not be."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import httpx2
import openai

from finetune_cot.teachers.access import Access
from finetune_cot.teachers.client import error_line, refusal
from finetune_cot.teachers.dialect import LIMIT, Dialect
from finetune_cot.teachers.limits import Limits
from finetune_cot.teachers.replies import NoCompletionError, NoTextError, Reply, ended, read_reply
from finetune_cot.teachers.retries import (
    LONGEST_BACKOFF,
    Meaning,
    backoff,
    is_of_this_prompt,
    meaning_of,
    seconds_to_wait,
)

Endpoint = Literal["chat", "completions"]

CHARACTERS_PER_TOKEN = 4
"""Of English text, about."""
_PATHS = {"chat": "/chat/completions", "completions": "/completions"}


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
    """Seconds until a request without its whole answer is given up and tried again."""
    max_retries: int = 6
    """How often a failed request is tried again, ever more slowly."""
    max_backoff: float = LONGEST_BACKOFF
    """Seconds between two attempts, at most."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True)
class Prompt:
    """What is asked, as one text and as a chat."""

    text: str
    messages: list[dict[str, str]]

    @property
    def tokens(self) -> float:
        """About, at four characters a token."""
        return len(self.text) / CHARACTERS_PER_TOKEN


class FailedRequestError(Exception):
    """A request that got no answer, and why.

    Args:
        reason: In one line.
        bad: Whether it is the request that is bad, and not the server.
    """

    def __init__(self, reason: str, bad: bool = False) -> None:
        super().__init__(reason)
        self.bad = bad


class Asker:
    """Asks one server, within its limits and in the way that it takes.

    Args:
        server: Which model is asked, where and how.
        client: Its client.
        tell: Told of long waits.
    """

    def __init__(
        self, server: Server, client: openai.AsyncOpenAI, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._server = server
        self._client = client
        self._limits = Limits(server.requests_per_minute, server.tokens_per_minute, server.max_backoff, tell)
        self.dialect = Dialect(server.access.is_openai, server.endpoint == "chat")
        self.worked = False
        """Whether anything was answered."""

    async def ask(self, prompt: Prompt, wanted: Mapping[str, Any]) -> Reply:
        """The server's answer.

        Args:
            prompt: What is asked.
            wanted: The parameters, of which those are sent that the server takes.

        Raises:
            FailedRequestError: there is none, for a reason that concerns this prompt, or after all retries.
            TeacherError: there is none for any request.
        """
        tokens = prompt.tokens + wanted[LIMIT] * wanted.get("n", 1)
        retries, stops = 0, wanted.get("stop", ())
        while True:
            await self._limits.turn(tokens)
            sent, parameters = time.monotonic(), self.dialect.parameters(wanted)
            try:
                response = await self._post(prompt, parameters)
                reply = read_reply(response.content, parameters)
            except openai.APIError as error:
                meaning = self._meaning(error, parameters, sent)
                if meaning is None:  # in other words, or when the server opens again
                    continue
                reason = error_line(self._server.access, error)
                if meaning is not Meaning.AGAIN:
                    raise FailedRequestError(reason, bad=meaning is Meaning.SAMPLE) from None
            except NoCompletionError as error:
                reason = str(error)
            except NoTextError as error:
                raise FailedRequestError(str(error)) from None
            except TimeoutError:
                reason = f"no whole answer within {self._server.timeout:g} s"
            else:
                self.worked = True
                self._limits.answered(response.headers, tokens, reply.usage.prompt + reply.usage.completion)
                return replace(reply, choices=tuple(ended(choice, stops) for choice in reply.choices))
            if retries >= self._server.max_retries:
                raise FailedRequestError(reason)
            retries += 1
            await asyncio.sleep(backoff(retries, self._server.max_backoff))

    async def _post(self, prompt: Prompt, parameters: Mapping[str, Any]) -> httpx2.Response:
        chat = self._server.endpoint == "chat"
        asked = {"messages": prompt.messages} if chat else {"prompt": prompt.text}
        body = {"model": self._server.model, **asked, **parameters}
        # The SDK's own limit begins anew with each piece that arrives, so that a slow drip would never end;
        # and its typed answers take as long again as the request.
        async with asyncio.timeout(self._server.timeout):
            return await self._client.post(_PATHS[self._server.endpoint], body=body, cast_to=httpx2.Response)

    def _meaning(self, error: openai.APIError, parameters: Mapping[str, Any], sent: float) -> Meaning | None:
        """What follows from an error; None where the same is asked again at once, or after a common wait."""
        meaning = meaning_of(error, self.worked)
        headers = error.response.headers if isinstance(error, openai.APIStatusError) else {}
        if meaning is Meaning.CROWDED or (meaning is Meaning.AGAIN and seconds_to_wait(headers) is not None):
            self._limits.wait_for_all(headers, sent)
        if meaning is Meaning.CROWDED:
            return None if self._limits.crowded <= self._server.max_retries else Meaning.CROWDED
        is_bad = isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError)
        if is_bad and not is_of_this_prompt(error.code, f"{error.message} {error.body}"):
            message = error_line(self._server.access, error)
            if self.dialect.learn(message, error.param, parameters):
                return None
        if meaning is Meaning.RUN:
            raise refusal(self._server.access, error, "check --model-key, --base-url and --endpoint")
        return meaning
