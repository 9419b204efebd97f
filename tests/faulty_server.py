"""A server with OpenAI's interface that fails in every way there is, in a process of its own.

``python -m tests.faulty_server LATENCY AT_ONCE FAULTS SEED`` prints its address and serves until it is ended:
each answer takes LATENCY seconds, more than AT_ONCE requests are refused, and each of `FAULTS` befalls a
share FAULTS of the requests. ``GET /counts`` tells what it did.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

FAULTS = (
    *("429", "429 with Retry-After", "500", "hung", "cut", "half JSON"),
    *("wrong number", "duplicate", "slow drip"),
)
HANGS, DRIPS = 30.0, 0.02
"""Seconds that a hung socket stays so, and between two pieces of a slow drip."""


@dataclass(frozen=True)
class FaultyServer:
    """A server that runs in another process."""

    base_url: str

    def counts(self) -> dict[str, int]:
        """``billed`` answers with a completion, ``asked`` requests, ``open`` ones, and each fault."""
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/counts") as reply:
            counts: dict[str, int] = json.load(reply)
        return counts


@contextlib.contextmanager
def faulty_server(
    latency: float = 0.0, at_once: int = 64, faults: float = 0.0, seed: int = 0
) -> Iterator[FaultyServer]:
    """Start it, and end it afterwards."""
    line = [sys.executable, "-m", "tests.faulty_server", *map(str, (latency, at_once, faults, seed))]
    root = Path(__file__).parents[1]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None
            yield FaultyServer(process.stdout.readline().strip())
        finally:
            process.kill()


class _Server:
    def __init__(self, latency: float, at_once: int, faults: float, seed: int) -> None:
        self._latency = latency
        self._at_once = at_once
        self._faults = faults
        self._random = random.Random(seed)
        self._open = 0
        self.counts: Counter[str] = Counter()

    async def tell(self, _: web.Request) -> web.Response:
        return web.json_response({**self.counts, "open": self._open})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.counts["asked"] += 1
        self._open += 1
        try:
            if self._open > self._at_once:
                self.counts["too many at once"] += 1
                return _error(429, "too many at once")
            await asyncio.sleep(self._latency)
            place = int(self._random.random() / self._faults) if self._faults else len(FAULTS)
            fault = FAULTS[place] if place < len(FAULTS) else None
            self.counts[fault or "none"] += 1
            return await self._fail(request, body, fault) if fault else self._bill(_reply(body, request.path))
        finally:
            self._open -= 1

    async def _fail(self, request: web.Request, body: dict[str, Any], fault: str) -> web.StreamResponse:
        reply = _reply(body, request.path)
        if fault == "429":
            return _error(429, "slow down")
        if fault == "429 with Retry-After":
            return _error(429, "slow down", {"Retry-After": "0.2"})
        if fault == "500":
            return _error(500, "out of order")
        if fault == "hung":
            await asyncio.sleep(HANGS)
            return _error(504, "hung")
        if fault == "cut":
            assert request.transport is not None
            request.transport.abort()
            return _error(500, "cut")
        if fault == "half JSON":
            text = json.dumps(reply)
            return web.Response(text=text[: len(text) // 2], content_type="application/json")
        if fault == "slow drip":
            return await self._drip(request, reply)
        if fault == "wrong number" and self._random.random() < 0.5:
            return web.json_response({**reply, "choices": [], "usage": None})
        again = {**reply["choices"][0], "index": 0 if fault == "duplicate" else 1}
        return self._bill({**reply, "choices": [*reply["choices"], again]})

    def _bill(self, reply: dict[str, Any]) -> web.Response:
        self.counts["billed"] += 1
        return web.json_response(reply)

    async def _drip(self, request: web.Request, reply: dict[str, Any]) -> web.StreamResponse:
        data = json.dumps(reply).encode()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for start in range(0, len(data), 40):
            await response.write(data[start : start + 40])
            await asyncio.sleep(DRIPS)
        await response.write_eof()
        self.counts["billed"] += 1
        return response


def _reply(body: dict[str, Any], path: str) -> dict[str, Any]:
    asked = json.dumps(body.get("messages") or body.get("prompt"))
    text = f" It is {int(hashlib.sha256(asked.encode()).hexdigest()[:6], 16)}." + " So it is." * 20
    content = {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
    return {
        "id": "1",
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": "stop", **content}],
        "usage": {"prompt_tokens": 50, "completion_tokens": 80},
    }


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


async def _serve(latency: float, at_once: int, faults: float, seed: int) -> None:
    server = _Server(latency, at_once, faults, seed)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    app.router.add_post("/v1/completions", server.answer)
    app.router.add_get("/counts", server.tell)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{site._server.sockets[0].getsockname()[1]}".join(("http://127.0.0.1:", "/v1\n")))
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    latency, at_once, faults, seed = sys.argv[1:]
    asyncio.run(_serve(float(latency), int(at_once), float(faults), int(seed)))
