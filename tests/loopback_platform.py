"""A real server on loopback with OpenAI's files, batches and fine-tuning jobs, which fails as it is told."""

import contextlib
import email
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import policy
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import Asked, Reply, completion_reply, listening

Answer = Callable[[Asked], Reply]
CUT = "cut"
"""Do what is asked, and cut the connection without an answer."""
HOLD = "hold"
"""Do what is asked, and do not answer until the client is gone."""


@dataclass
class Platform:
    """What lies at the server, and how it is to fail."""

    base_url: str = ""
    answer: Answer = completion_reply
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""
    keys: set[str] = field(default_factory=set)
    """Authorization headers that came."""
    headers: set[str] = field(default_factory=set)
    """Values of all headers that came."""
    faults: dict[str, list[Any]] = field(default_factory=dict)
    """What becomes of the next requests, by method and path: `CUT`, `HOLD`, a reply, or None for all well."""
    held: threading.Event = field(default_factory=threading.Event)
    job_course: tuple[str, ...] = ("validating_files", "queued", "running", "succeeded")
    job_error: dict[str, str] | None = None

    def requests(self, batch_id: str) -> list[dict[str, Any]]:
        """The lines of a batch's input."""
        content = self.contents[self.batches[batch_id]["input_file_id"]]
        return [json.loads(line) for line in content.splitlines()]

    def finish(self, status: str = "completed", only: Callable[[int], bool] = lambda _: True) -> None:
        """End all batches that have not ended; requests that `only` does not choose get no answer."""
        for batch_id, batch in self.batches.items():
            if batch["status"] not in ("in_progress", "cancelling"):
                continue
            output, errors = [], []
            for number, line in enumerate(self.requests(batch_id)):
                if not only(number):
                    if status == "expired":
                        error = {"code": "batch_expired", "message": "This request was not in time."}
                        errors.append({"custom_id": line["custom_id"], "response": None, "error": error})
                    continue
                code, body = self.answer(Asked(line["url"], "", line["body"]))
                response = {"status_code": code, "request_id": "r", "body": body}
                row = {"id": "b", "custom_id": line["custom_id"], "response": response, "error": None}
                (output if code == 200 else errors).append(row)
            output.reverse()  # no order is promised
            batch["status"] = "cancelled" if batch["status"] == "cancelling" else status
            batch["request_counts"] |= {"completed": len(output), "failed": len(errors)}
            for name, rows in (("output_file_id", output), ("error_file_id", errors)):
                if rows:
                    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
                    batch[name] = self.add_file(name, "batch_output", content)["id"]

    def add_file(self, name: str, purpose: str, content: bytes) -> dict[str, Any]:
        """Keep a file."""
        id = f"file-{len(self.contents)}"
        self.contents[id] = content
        told = {"id": id, "object": "file", "bytes": len(content), "created_at": 1, "status": "processed"}
        self.files[id] = {**told, "filename": name, "purpose": purpose}
        return self.files[id]

    def respond(self, method: str, path: str, body: Any) -> Reply | bytes:
        """Do what is asked."""
        kind, _, rest = path.removeprefix("/v1/").partition("?")[0].partition("/")
        if kind == "files":
            return self._on_files(method, rest, body)
        if kind == "batches":
            return self._on_batches(method, rest, body)
        if kind == "fine_tuning":
            return self._on_jobs(method, rest.removeprefix("jobs").strip("/"), body)
        if method == "POST":
            return self.answer(Asked(path, "", body))
        return _missing()

    def _on_files(self, method: str, id: str, body: Any) -> Reply | bytes:
        if method == "POST":
            return 200, self.add_file(*body)
        if not id:
            return _list(self.files)
        if id.endswith("/content"):
            return self.contents.get(id.removesuffix("/content")) or _missing()
        if method == "DELETE":
            del self.files[id]
            return 200, {"id": id, "object": "file", "deleted": True}
        return _missing()

    def _on_batches(self, method: str, id: str, body: Any) -> Reply:
        if method == "POST" and not id:
            new = f"batch_{len(self.batches)}"
            total = len(self.contents[body["input_file_id"]].splitlines())
            counts = {"total": total, "completed": 0, "failed": 0}
            told = {"id": new, "object": "batch", "created_at": 1, "status": "in_progress", **body}
            self.batches[new] = {**told, "request_counts": counts}
            return 200, self.batches[new]
        if not id:
            return _list(self.batches)
        batch = self.batches.get(id.removesuffix("/cancel"))
        if batch is None:
            return _missing()
        if id.endswith("/cancel"):
            if batch["status"] != "in_progress":
                return 409, {"error": {"message": "has ended", "type": "error"}}
            batch["status"] = "cancelling"
        return 200, batch

    def _on_jobs(self, method: str, id: str, body: Any) -> Reply:
        if method == "POST":
            new = f"ftjob-{len(self.jobs)}"
            told = {"id": new, "object": "fine_tuning.job", "created_at": 1, "organization_id": "o"}
            told |= {"result_files": [], "fine_tuned_model": None, "trained_tokens": None, "error": None}
            self.jobs[new] = {**told, **body, "looks": 0, "status": "validating_files"}
            return 200, self.jobs[new]
        if not id:
            return _list(self.jobs)
        job = self.jobs.get(id.removesuffix("/events"))
        if job is None:
            return _missing()
        if id.endswith("/events"):
            message = f"Step {job['looks']}/3"
            event = {"id": "e", "object": "fine_tuning.job.event", "created_at": 1, "level": "info"}
            return _list({"e": {**event, "message": message}})
        job["status"] = self.job_course[min(job["looks"], len(self.job_course) - 1)]
        job["looks"] += 1
        if job["status"] == "succeeded":
            job |= {"fine_tuned_model": f"ft:{job['model']}:{id}", "trained_tokens": 1234}
        if job["status"] == "failed":
            job["error"] = self.job_error
        return 200, job


@contextlib.contextmanager
def loopback_platform() -> Iterator[Platform]:
    """Serve on a free port."""
    state = Platform()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def _serve(self, method: str) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = _body(self.headers.get("Content-Type", ""), data)
            call = f"{method} {self.path.partition('?')[0]}"
            with lock:
                state.asked.append(call)
                state.headers.update(self.headers.values())
                state.keys.add(self.headers.get("Authorization", ""))
                queue = state.faults.get(call, [])
                fault = queue.pop(0) if queue else None
                reply = fault if isinstance(fault, tuple) else state.respond(method, self.path, body)
            if fault == HOLD:
                state.held.set()
                self.rfile.read(1)  # nothing comes until the client is gone
            if fault in (HOLD, CUT):
                self.close_connection = True
                return
            with contextlib.suppress(ConnectionError):
                self._send(reply)

        def _send(self, reply: Reply | bytes) -> None:
            status, content = (200, reply) if isinstance(reply, bytes) else reply
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *_: Any) -> None:
            """Keep quiet."""

    with listening(Handler) as state.base_url:
        yield state


def _body(kind: str, data: bytes) -> Any:
    """JSON, or of a form the name, purpose and content of its file."""
    if not kind.startswith("multipart/"):
        return json.loads(data) if data else None
    message = email.message_from_bytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + data, policy=policy.HTTP
    )
    name, purpose, content = "", "", b""
    for part in message.iter_parts():  # type: ignore[attr-defined]
        if part.get_filename():
            name = part.get_filename()
            # The parser turns line ends of text parts about, so that they are taken from the bytes.
            start = data.index(b"\r\n\r\n", data.index(name.encode())) + 4
            content = data[start : data.index(b"\r\n--", start)]
        else:
            purpose = part.get_content().strip()
    assert re.fullmatch("batch|fine-tune", purpose)
    return name, purpose, content


def _list(things: dict[str, Any]) -> Reply:
    return 200, {"object": "list", "data": list(things.values())[::-1], "has_more": False}


def _missing() -> Reply:
    return 404, {"error": {"message": "there is no such thing", "type": "error"}}
