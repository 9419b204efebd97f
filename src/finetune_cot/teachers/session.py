"""Many completions at once: pieces of work, each one request, and the workers that take them."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from finetune_cot.artifacts.completions import Completion
from finetune_cot.errors import TeacherError
from finetune_cot.prompts.templates import (
    answer_messages,
    answer_prompt,
    chat_messages,
    is_two_step,
    prompt_text,
)
from finetune_cot.teachers.asking import Asker, FailedRequestError, Prompt, Server
from finetune_cot.teachers.budget import Budget, most_tokens
from finetune_cot.teachers.dialect import wanted_parameters
from finetune_cot.teachers.protocol import Failure, Recipe, TeachRequest
from finetune_cot.teachers.replies import Reply
from finetune_cot.teachers.steps import Step, completion_of, step_of_choice
from finetune_cot.teachers.usage import TokenUsage, total

MOST_CHOICES = 8
"""Completions of a question that are asked for with one request, where the server gives several."""


@dataclass(frozen=True)
class _Group:
    """Completions of one question that are asked for together: their first step."""

    requests: tuple[TeachRequest, ...]


@dataclass(frozen=True)
class _Second:
    """A completion whose reasoning is there: its second step."""

    request: TeachRequest
    first: Step


class Session:
    """Answers requests, as many at once as the server may be asked.

    Args:
        server: Which model is asked, where and how.
        asker: Asks it.
        recipe: How completions are asked for.
        budget: What may be spent; None for any amount.
    """

    def __init__(self, server: Server, asker: Asker, recipe: Recipe, budget: Budget | None) -> None:
        self._server = server
        self._asker = asker
        self._recipe = recipe
        self._budget = budget
        self._two_steps = is_two_step(recipe.template)
        self._begun: deque[_Group | _Second] = deque()
        """What is left of groups that were begun; it comes before new ones."""
        self._groups: deque[_Group] = deque()
        self._open = 0
        self._workers: list[asyncio.Task[None]] = []
        self._answers: list[Completion | Failure] = []
        self._news = asyncio.Event()
        self._one_done = asyncio.Event()
        self._error: BaseException | None = None
        self.failed_in_a_row = 0
        """Requests that got no answer, since the last one that did."""

    @property
    def worked(self) -> bool:
        """Whether anything was answered."""
        return self._asker.worked

    async def start(self, requests: Sequence[TeachRequest]) -> None:
        """Begin to ask."""
        self._groups.extend(_grouped(requests, MOST_CHOICES if self._recipe.temperature > 0 else 1))
        count = min(self._server.concurrency, len(requests))
        self._workers = [asyncio.create_task(self._work()) for _ in range(count)]

    async def next_answers(self) -> list[Completion | Failure]:
        """Answers that have come since the last call; none where all have come.

        Raises:
            TeacherError: the server refuses; the answers that came before were returned.
        """
        while not self._answers:
            if self._error:
                raise self._error
            if all(worker.done() for worker in self._workers):
                break
            self._news.clear()
            await self._news.wait()
        answers, self._answers = self._answers, []
        return answers

    async def _work(self) -> None:
        try:
            while piece := await self._next_piece():
                try:
                    await (self._finish(piece) if isinstance(piece, _Second) else self._begin(piece))
                finally:
                    self._open -= 1
                    self._one_done.set()
        except Exception as error:
            self._error = self._error or error
            self._give_up()
        finally:
            self._news.set()

    async def _next_piece(self) -> _Group | _Second | None:
        while not self._error:
            if self._begun:
                self._open += 1
                return self._begun.popleft()
            if self._groups and self._can_afford(self._groups[0]):
                self._open += 1
                return self._groups.popleft()
            if not self._open:
                self._leave_out()
                return None
            # Another worker's reply may hold fewer choices than it should, or cost less than was held for it.
            self._one_done.clear()
            await self._one_done.wait()
        return None

    def _give_up(self) -> None:
        """Tell of rationales whose answers are not asked for any more: they were paid for."""
        while self._begun:
            if isinstance(piece := self._begun.popleft(), _Second):
                self._fail(piece, "not asked, as the run ended")

    def _fail(self, begun: _Second, reason: str) -> None:
        usage = begun.first.usage
        self._tell(begun.request, Failure(begun.request.key, reason, usage), usage)

    def _can_afford(self, group: _Group) -> bool:
        return self._budget is None or self._budget.hold(self._most(group.requests))

    def _leave_out(self) -> None:
        while self._groups:
            for request in self._groups.popleft().requests:
                self._answers.append(Failure(request.key, "not asked, as --max-cost is reached", asked=False))
        self._news.set()

    async def _begin(self, group: _Group) -> None:
        """Ask for the first step; what the reply lacks is asked for again, by itself."""
        requests, prompt = group.requests, self._prompt(group.requests[0])
        if len(requests) > 1 and self._asker.dialect.gives_several is False:
            self._begun.extend(_Group((request,)) for request in requests[1:])
            requests = requests[:1]
        try:
            reply = await self._ask(prompt, requests, self._recipe.max_reasoning_tokens)
        except FailedRequestError as error:
            for request in requests:
                self._tell(request, Failure(request.key, str(error)))
            return
        choices = reply.choices[: len(requests)]
        if len(requests) > 1 and self._asker.dialect.gives_several is None:
            self._asker.dialect.gives_several = len(choices) > 1
        if lacking := requests[len(choices) :]:
            self._begun.append(_Group(lacking))
        for request, choice, usage in zip(
            requests[: len(choices)], choices, reply.usage.shares(len(choices)), strict=True
        ):
            self._go_on(request, step_of_choice(prompt.text, choice, usage, reply.parameters))

    def _go_on(self, request: TeachRequest, first: Step) -> None:
        if not self._two_steps:
            self._tell(request, completion_of(request, first), first.usage)
        elif first.text or first.finish_reason not in ("content_filter", "length"):
            self._begun.append(_Second(request, first))
        else:  # nothing was written from which an answer could follow
            nothing = Step(answer_prompt(first.prompt, ""), "", first.finish_reason)
            self._tell(request, completion_of(request, first, nothing), first.usage)

    async def _finish(self, begun: _Second) -> None:
        request, first = begun.request, begun.first
        prompt = Prompt(
            answer_prompt(first.prompt, first.text), answer_messages(request.sample.question, first.text)
        )
        try:
            reply = await self._ask(prompt, (request,), self._recipe.max_answer_tokens)
        except FailedRequestError as error:
            self._fail(begun, str(error))
            return
        except TeacherError as error:
            self._fail(begun, str(error))
            raise
        second = step_of_choice(prompt.text, reply.choices[0], reply.usage, reply.parameters)
        self._tell(request, completion_of(request, first, second), first.usage + second.usage)

    async def _ask(self, prompt: Prompt, requests: Sequence[TeachRequest], limit: int) -> Reply:
        wanted = wanted_parameters(self._recipe, limit, requests[0].completion_index)
        if len(requests) > 1:
            wanted["n"] = len(requests)
        try:
            reply = await self._asker.ask(prompt, wanted)
        except FailedRequestError as error:
            self.failed_in_a_row += not error.bad
            raise
        self.failed_in_a_row = 0
        return reply

    def _prompt(self, request: TeachRequest) -> Prompt:
        recipe, sample = self._recipe, request.sample
        few_shot = recipe.few_shot.get(sample.task)
        return Prompt(
            prompt_text(recipe.template, sample.question, few_shot=few_shot),
            chat_messages(recipe.template, sample.question, few_shot),
        )

    def _tell(
        self, request: TeachRequest, answer: Completion | Failure, usage: TokenUsage | None = None
    ) -> None:
        """Hand an answer on, and pay for it: for nothing where it failed before a token was written."""
        if self._budget is not None:
            self._budget.settle(self._most((request,)), usage)
        self._answers.append(answer)
        self._news.set()

    def _most(self, requests: Sequence[TeachRequest]) -> TokenUsage:
        most = most_tokens(self._prompt(requests[0]).text, self._recipe)
        return total([most] * len(requests))


def _grouped(requests: Sequence[TeachRequest], most: int) -> Iterator[_Group]:
    """Requests of one question together, the first ones of all questions before the next ones."""
    by_sample: dict[int, list[TeachRequest]] = {}
    for request in requests:
        by_sample.setdefault(request.sample.sample_index, []).append(request)
    for start in range(0, max(map(len, by_sample.values()), default=0), most):
        for of_sample in by_sample.values():
            if part := of_sample[start : start + most]:
                yield _Group(tuple(part))
