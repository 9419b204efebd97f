"""Files, batches and fine-tuning jobs at a server, each made once, also where an answer gets lost."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import openai

from finetune_cot.errors import TeacherError
from finetune_cot.teachers.access import Access
from finetune_cot.teachers.client import blocking_client, refusal
from finetune_cot.teachers.retries import backoff, seconds_to_wait

Purpose = Literal["batch", "fine-tune"]

_OPEN = (openai.APIConnectionError, openai.InternalServerError, openai.ConflictError)
"""Errors after which what was asked for may have been made all the same."""


@dataclass(frozen=True)
class BatchState:
    """How far a batch is."""

    status: str
    completed: int
    failed: int
    files: tuple[str, ...]
    """Ids of its output file and its error file, as far as there are any."""
    errors: tuple[str, ...]
    """Why it failed as a whole."""


@dataclass(frozen=True)
class JobState:
    """How far a fine-tuning job is."""

    status: str
    model: str | None
    """The fine-tuned model's name; None until it is there."""
    trained_tokens: int | None
    error: str | None


class ServerFiles:
    """A server's interface for files and for what is done with them.

    Args:
        access: The server and its key.
        client: The SDK's client of it.
        once: One that tries nothing again, which could make a second one.
        max_retries: How often something is tried to be made again.
    """

    def __init__(self, access: Access, client: openai.OpenAI, once: openai.OpenAI, max_retries: int) -> None:
        self._access = access
        self._client = client
        self._once = once
        self._max_retries = max_retries

    def find_file(self, name: str, purpose: Purpose) -> str | None:
        """The id of the file of this name; None where there is none, or the server does not list files."""
        return _first(lambda: self._client.files.list(purpose=purpose), lambda file: file.filename == name)

    def find_batch(self, file_id: str) -> str | None:
        """The id of the batch of a file; None where there is none, or the server does not list batches."""
        listed = self._client.batches.list
        return _first(lambda: listed(limit=100), lambda batch: batch.input_file_id == file_id)

    def find_job(self, file_id: str) -> str | None:
        """The id of the fine-tuning job of a file; None as above."""
        listed = self._client.fine_tuning.jobs.list
        return _first(lambda: listed(limit=100), lambda job: job.training_file == file_id)

    def upload(self, name: str, content: bytes, purpose: Purpose) -> str:
        """Upload a file whose name no other has; gives its id."""
        create = self._once.files.create
        return self._made(
            lambda: self.find_file(name, purpose),
            lambda: create(file=(name, content), purpose=purpose),
        )

    def create_batch(self, file_id: str, endpoint: str) -> str:
        """Make the batch of a file that has none yet; gives its id."""
        known: Any = endpoint
        create = self._once.batches.create
        return self._made(
            lambda: self.find_batch(file_id),
            lambda: create(input_file_id=file_id, endpoint=known, completion_window="24h"),
        )

    def create_job(self, file_id: str, model: str, epochs: int, seed: int) -> str:
        """Make the fine-tuning job of a file that has none yet; gives its id."""
        create = self._once.fine_tuning.jobs.create
        # `hyperparameters` is the older name, which other servers know too.
        return self._made(
            lambda: self.find_job(file_id),
            lambda: create(
                model=model, training_file=file_id, hyperparameters={"n_epochs": epochs}, seed=seed
            ),
        )

    def batch(self, batch_id: str) -> BatchState:
        """How far a batch is."""
        return self._batch_state(self._object(self._client.batches.retrieve(batch_id)))

    def cancel_batch(self, batch_id: str) -> BatchState | None:
        """Stop a batch; what it has done stays. None where the server knows of no such batch."""
        try:
            with contextlib.suppress(openai.ConflictError, openai.BadRequestError):  # it has ended already
                self._client.batches.cancel(batch_id)
            return self.batch(batch_id)
        except openai.NotFoundError:
            return None

    def job(self, job_id: str) -> JobState:
        """How far a fine-tuning job is."""
        job = self._object(self._client.fine_tuning.jobs.retrieve(job_id))
        error = getattr(job.error, "message", None) if job.error else None
        return JobState(job.status, job.fine_tuned_model, job.trained_tokens, self._told(error))

    def last_event(self, job_id: str) -> str | None:
        """What the server said last of a fine-tuning job; None where it says nothing."""
        with contextlib.suppress(openai.APIStatusError):
            events = self._client.fine_tuning.jobs.list_events(job_id, limit=1).data
            return self._told(events[0].message) if events else None
        return None

    def content(self, file_id: str) -> bytes:
        """What is in a file."""
        return self._client.files.content(file_id).content

    def delete_file(self, file_id: str) -> None:
        """Remove a file, if it can be removed."""
        with contextlib.suppress(openai.APIStatusError):
            self._client.files.delete(file_id)

    def _batch_state(self, batch: Any) -> BatchState:
        counts = batch.request_counts
        told = [
            self._told(error.message or error.code) for error in (batch.errors and batch.errors.data) or ()
        ]
        return BatchState(
            batch.status,
            counts.completed if counts else 0,
            counts.failed if counts else 0,
            tuple(file for file in (batch.output_file_id, batch.error_file_id) if file),
            tuple(text for text in told if text),
        )

    def _object(self, reply: Any) -> Any:
        if not hasattr(reply, "id"):  # such as a page of HTML, which the SDK gives as a text
            raise TeacherError("the server's answer is not of OpenAI's form", where=self._access.base_url)
        return reply

    def _told(self, text: str | None) -> str | None:
        return self._access.hide(" ".join(text.split())).rstrip(".")[:300] if text else None

    def _made(self, find: Callable[[], str | None], make: Callable[[], Any]) -> str:
        """Make something, and look for it before it is tried again: it may be there all the same."""
        for number in range(self._max_retries + 1):
            try:
                made = self._object(make()).id
            except (*_OPEN, openai.RateLimitError) as error:
                if number == self._max_retries or error.code == "insufficient_quota":
                    raise
                time.sleep(_pause(error, number))
                found = find() if isinstance(error, _OPEN) else None
                if found is not None:
                    return found
            else:
                return str(made)
        raise AssertionError  # the last try returns or raises


@contextlib.contextmanager
def server_files(access: Access, timeout: float, max_retries: int, not_found: str) -> Iterator[ServerFiles]:
    """A server's interface for files; what it refuses is told in one line.

    Args:
        access: The server and its key.
        timeout: Seconds until a request is given up.
        max_retries: How often it is tried again.
        not_found: What to do where the server does not know of such requests, or does not like them.

    Raises:
        TeacherError: it refuses, or does not answer.
    """
    with blocking_client(access, timeout, max_retries) as client, blocking_client(access, timeout, 0) as once:
        try:
            yield ServerFiles(access, client, once, max_retries)
        except openai.APIError as error:
            raise refusal(access, error, not_found) from None


def _first(listed: Callable[[], Iterable[Any]], is_it: Callable[[Any], bool]) -> str | None:
    with contextlib.suppress(openai.NotFoundError):  # a server that keeps no such list
        return next((str(thing.id) for thing in listed() if is_it(thing)), None)
    return None


def _pause(error: openai.APIError, number: int) -> float:
    told = seconds_to_wait(error.response.headers) if isinstance(error, openai.APIStatusError) else None
    return backoff(number + 1) if told is None else told
