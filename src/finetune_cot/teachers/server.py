"""A server with OpenAI's interface as a teacher: OpenAI itself, vLLM, llama.cpp, Ollama and many more."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import openai

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import TeacherError
from finetune_cot.teachers.asking import Asker, Server
from finetune_cot.teachers.budget import Budget
from finetune_cot.teachers.client import async_client
from finetune_cot.teachers.prices import Prices
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.session import Session

_PATIENCE = 3
"""Rounds of failures, each as many as there are requests at once, after which a run is given up; one without
any completion yet is given up after the first."""


class OpenAITeacher:
    """A model behind OpenAI's chat or completions endpoint.

    Args:
        server: Which model is asked, where and how.
        prices: What its tokens cost; None where that is not known.
        max_cost: US dollars that a call of `teach` may cost; only with prices.
        tell: Told of long waits.
    """

    def __init__(
        self,
        server: Server,
        prices: Prices | None = None,
        max_cost: float | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._server = server
        self._prices = prices
        self._max_cost = max_cost
        self._tell = tell

    def teach(
        self, requests: Sequence[TeachRequest], recipe: Recipe, done: Collection[tuple[int, int]]
    ) -> Iterator[Sequence[Completion | Failure]]:
        """Answer the requests that are not done, in the order in which the server answers.

        Raises:
            TeacherError: the server refuses the key, the model or the way of asking, or does not answer.
        """
        budget = Budget(self._prices, self._max_cost) if self._prices and self._max_cost is not None else None
        with asyncio.Runner() as runner:
            client = async_client(self._server.access, self._server.timeout, max_retries=0)
            session = Session(self._server, Asker(self._server, client, self._tell), recipe, budget)
            missing = [request for request in requests if request.key not in done]
            try:
                runner.run(session.start(missing))
                yield from self._answers(runner, session)
            finally:
                runner.run(_close(client, asyncio.all_tasks(runner.get_loop())))

    def _answers(self, runner: asyncio.Runner, session: Session) -> Iterator[Sequence[Completion | Failure]]:
        while answers := runner.run(session.next_answers()):
            yield answers
            patience = self._server.concurrency * (_PATIENCE if session.worked else 1)
            if session.failed_in_a_row >= patience:
                reason = next(answer.reason for answer in reversed(answers) if isinstance(answer, Failure))
                raise self._gives_up(session.failed_in_a_row, reason)

    def _gives_up(self, failures: int, reason: str) -> TeacherError:
        access = self._server.access
        return TeacherError(
            f"the last {failures} requests all failed: {reason}",
            where="OpenAI" if access.is_openai else access.base_url,
            remedy="what is done is kept; run the same command again when the server answers",
        )


async def _close(client: openai.AsyncOpenAI, tasks: set["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
