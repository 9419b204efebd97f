"""The SDK's client of a server, made in one place, and the server's errors in one line."""

import os
import socket
from typing import Any, TypeVar

import openai

from finetune_cot.errors import TeacherError
from finetune_cot.teachers.access import Access

Client = TypeVar("Client", openai.OpenAI, openai.AsyncOpenAI)


def async_client(access: Access, timeout: float, max_retries: int) -> openai.AsyncOpenAI:
    """A client for many requests at once; it speaks through aiohttp, which is more than twice as quick.

    Args:
        access: The server and its key.
        timeout: Seconds until a request is given up.
        max_retries: How often the SDK itself tries a failed request again.
    """
    client = openai.AsyncOpenAI(
        **_settings(access, timeout, max_retries), http_client=openai.DefaultAioHttpClient(timeout=timeout)
    )
    return _for_this_server(client, access)


def blocking_client(access: Access, timeout: float, max_retries: int) -> openai.OpenAI:
    """A client for one request after another, with the arguments of `async_client`."""
    return _for_this_server(openai.OpenAI(**_settings(access, timeout, max_retries)), access)


def error_line(access: Access, error: openai.APIError) -> str:
    """One line of what went wrong; a key that the server repeats is left out."""
    told = told_by(error.body)
    if isinstance(error, openai.APIConnectionError):
        told = _connection_failure(error)
    status = f" (HTTP {error.status_code})" if isinstance(error, openai.APIStatusError) else ""
    return access.hide(" ".join(str(told or error.message).split())).rstrip(".")[:300] + status


def told_by(body: object) -> str | None:
    """What a server says in an error, in the forms that servers have; None where it is a page or nothing."""
    if isinstance(body, dict):
        known = (body.get(name) for name in ("message", "detail", "error"))
        return next((str(told) for told in known if told), None)
    return body if isinstance(body, str) and not body.lstrip().startswith("<") else None


def refusal(access: Access, error: openai.APIError, not_found: str) -> TeacherError:
    """What to tell of an error that befalls every request.

    Args:
        access: The server and its key.
        error: What the server answered.
        not_found: What to check where the server knows nothing of the kind, or the request is wrong.
    """
    remedies: dict[type[openai.APIError], str] = {
        openai.AuthenticationError: access.key_remedy,
        openai.PermissionDeniedError: f"see what the key of {access.source} may do",
        openai.InternalServerError: "run the same command again later; what is done is kept",
        openai.RateLimitError: "see the account's balance and limits; what is done is kept",
    }
    where = "OpenAI" if access.is_openai else access.base_url
    if isinstance(error, openai.APIConnectionError):
        what, remedy = "does not answer", "run the same command again when it does; what is done is kept"
        return TeacherError(f"{what}: {error_line(access, error)}", where=where, remedy=remedy)
    remedy = remedies.get(type(error), not_found)
    return TeacherError(f"the server refuses: {error_line(access, error)}", where=where, remedy=remedy)


def _connection_failure(error: openai.APIConnectionError) -> str:
    """What the system says of it, which the SDK and its transport cover with names of their own."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, socket.gaierror):
        return f"connection failed: {cause.strerror}"
    if isinstance(cause, OSError) and cause.errno:
        return f"connection failed: {os.strerror(cause.errno)}"
    return f"connection failed: {str(cause) or type(cause).__name__}"


def _settings(access: Access, timeout: float, max_retries: int) -> dict[str, Any]:
    return {
        "api_key": access.key or "none",
        "base_url": access.base_url,
        "timeout": timeout,
        "max_retries": max_retries,
    }


def _for_this_server(client: Client, access: Access) -> Client:
    """Keep what the environment says of an account at OpenAI from other servers."""
    if not access.is_openai:
        client.organization = client.project = None
    return client
