"""``report --serve``: the page on this machine alone, made anew when something under ``saved/`` changes."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from finetune_cot.config.report import ReportConfig
from finetune_cot.errors import FtcotError, UsageError
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.report import PAGE, report

LOOPBACK = "127.0.0.1"
SECONDS_BETWEEN_LOOKS = 2.0
_VERSION = "/version"
_RELOADING = b"""<script>
(() => {
  let shown;
  setInterval(async () => {
    const reply = await fetch("/version").catch(() => null);
    const version = reply?.ok ? await reply.text() : shown;
    if (shown && version !== shown) location.reload();
    shown ??= version;
  }, 2000);
})();
</script>"""

State = tuple[tuple[str, int, int], ...]


class ReportServer:
    """Serves a report that is there, and keeps it up to date."""

    def __init__(self, config: ReportConfig, folder: Path) -> None:
        """Listen on loopback.

        Raises:
            UsageError: the port is taken.
        """
        self._config = config
        self._state = saved_state(config.saved_dir)
        handler = partial(_Handler, directory=str(folder))
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, config.port), handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"cannot be listened on ({error})", where=f"--port {config.port}") from None
        self.address = f"http://{LOOPBACK}:{self._server.server_address[1]}/{PAGE}"

    def run(self, stop: threading.Event) -> None:
        """Serve until stopped; what cannot be read just now is told of, and read at the next look."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            while not stop.wait(SECONDS_BETWEEN_LOOKS):
                self._look()
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _look(self) -> None:
        state = saved_state(self._config.saved_dir)
        if state == self._state:
            return
        self._state = state
        try:
            report(self._config)
        except FtcotError as error:
            say(f"not made anew: {error}")


def saved_state(saved_dir: Path) -> State:
    """Name, time and size of every file but those of reports, and of what is on its way."""
    found = []
    for path in sorted(saved_dir.rglob("*")):
        inner = path.relative_to(saved_dir).parts
        if inner[0] == "reports" or any(part.startswith(".") for part in inner):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file():
            found.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(found)


class _Handler(SimpleHTTPRequestHandler):
    """Files of one folder; the page with a script that looks for a newer one."""

    def do_GET(self) -> None:
        # a page of another site whose name leads here must read nothing
        if self.headers.get("Host", "").rpartition(":")[0] not in (LOOPBACK, "localhost"):
            self.send_error(403)
        elif self.path == _VERSION:
            self._send(str(self._page().stat().st_mtime_ns).encode(), "text/plain")
        elif self.path.partition("?")[0] in ("/", f"/{PAGE}"):
            self._send(self._page().read_bytes() + _RELOADING, "text/html; charset=utf-8")
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        self.send_error(405)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests."""

    def _page(self) -> Path:
        return Path(self.directory) / PAGE

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
