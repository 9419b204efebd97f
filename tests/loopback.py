"""A real server on loopback with OpenAI's chat and completions endpoints."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]


@dataclass
class Asked:
    """A request as it arrived."""

    path: str
    authorization: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The prompt, or the turns of the chat as one text."""
        if "prompt" in self.body:
            return str(self.body["prompt"])
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in self.body["messages"])


@dataclass
class Loopback:
    """The server's address and what it was asked."""

    base_url: str
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0


def completion_reply(asked: Asked) -> Reply:
    """An answer that depends on the question alone, so that runs can be compared; ignores ``n``."""
    text = f" It is {int(hashlib.sha256(asked.text.encode()).hexdigest()[:6], 16)}."
    return 200, reply_of(asked, text)


def reply_of(asked: Asked, text: str | None, finish_reason: str = "stop") -> dict[str, Any]:
    """A body in the form of the endpoint that was asked."""
    chat = asked.path.endswith("/chat/completions")
    content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {
        "id": "1",
        "object": "chat.completion" if chat else "text_completion",
        "created": 1,
        "model": asked.body["model"],
        "choices": [{"index": 0, "finish_reason": finish_reason, "logprobs": None, **content}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
    }


def error_reply(status: int, message: str, **details: Any) -> Reply:
    """An error in OpenAI's form."""
    return status, {"error": {"message": message, "type": "error", "param": None, "code": None, **details}}


@contextlib.contextmanager
def loopback(answer: Callable[[Asked], Reply] = completion_reply, delay: float = 0.0) -> Iterator[Loopback]:
    """Serve on a free port; a reply that is a string is sent as it is, one with status 0 not at all."""
    state = Loopback("")
    lock = threading.Lock()
    busy = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal busy
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            asked = Asked(self.path, self.headers.get("Authorization", ""), body)
            with lock:
                state.asked.append(asked)
                busy += 1
                state.most_at_once = max(state.most_at_once, busy)
            time.sleep(delay)
            status, reply = answer(asked)
            if not status:  # cut the connection
                with lock:
                    busy -= 1
                self.close_connection = True
                return
            data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
            with lock:
                busy -= 1
            with contextlib.suppress(ConnectionError):  # the client may have been killed
                self.send_response(status)
                kind = "text/html" if isinstance(reply, str) else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, format: str, *_: Any) -> None:
            """Keep quiet."""

    with listening(Handler) as state.base_url:
        yield state


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server in a thread of its own; gives the address of its interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign,misc,assignment]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
