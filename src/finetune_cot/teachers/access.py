"""Where a server is, and which key it is sent: never one that was meant for another server.

A key comes from the environment or from a file that its owner alone can read. It is in no option, no artifact
and no message; what is kept and shown is where it comes from.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from finetune_cot.errors import UsageError

API_KEY = "OPENAI_API_KEY"
"""Where OpenAI's key is looked for."""
OPENAI_URL = "https://api.openai.com/v1"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Access:
    """A server and the key that it is sent."""

    base_url: str
    key: str = field(repr=False)
    """Empty where none is sent."""
    source: str
    """Where the key comes from: a variable, or a file."""
    withheld: bool = False
    """Whether there is a key that this server was not sent, as it may be meant for OpenAI alone."""

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own server."""
        return _origin(self.base_url) == _origin(OPENAI_URL)

    def hide(self, text: str) -> str:
        """A text of the server's without the key, should it hold it."""
        return text.replace(self.key, "***") if self.key else text

    @property
    def key_remedy(self) -> str:
        """What to do where the server refuses the key."""
        if self.withheld:
            return f"to send {API_KEY} to this server, give --api-key-env {API_KEY}"
        if not self.key:
            return "give it a key, with --api-key-env or --api-key-file"
        return f"check {self.source}"


def server_access(
    base_url: str | None, key_variable: str | None = None, key_file: Path | None = None
) -> Access:
    """The server at an address, with the key that it is to be sent.

    ``OPENAI_API_KEY`` goes to OpenAI and to the server that ``OPENAI_BASE_URL`` names, to no other unasked.

    Args:
        base_url: The server's address; None for OpenAI.
        key_variable: Environment variable that holds the key.
        key_file: File that holds the key.

    Raises:
        UsageError: the key is not there, others can read its file, or the address is none, or holds a secret.
    """
    url = (OPENAI_URL if base_url is None else base_url).rstrip("/")
    parts = _parts(url)
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "holds a name, a password or a query",
            where="--base-url",
            remedy="give the key with --api-key-env or --api-key-file",
        )
    if key_variable is not None and key_file is not None:
        raise UsageError(
            "names a key, as --api-key-env does", where="--api-key-file", remedy="give one of them"
        )
    if key_file is not None:
        return Access(url, _read_key(key_file), str(key_file))
    if key_variable is not None:
        return Access(url, _named_key(key_variable), key_variable)
    key = _checked(os.environ.get(API_KEY, "").strip(), API_KEY)
    if _origin(url) == _origin(OPENAI_URL) and not key:
        raise UsageError(
            f"{API_KEY} is not set", remedy=f"export {API_KEY}, or name another server with --base-url"
        )
    if _origin(url) not in (_origin(OPENAI_URL), _origin(os.environ.get("OPENAI_BASE_URL", ""))):
        return Access(url, "", API_KEY, withheld=bool(key))
    return Access(url, key, API_KEY)


def _parts(url: str) -> SplitResult:
    scheme, host, _ = _origin(url)
    if scheme not in ("http", "https") or not host:  # it is not repeated, as it may hold a password
        remedy = "give one such as http://localhost:8000/v1, or leave it out for OpenAI"
        raise UsageError("is no address of a server", where="--base-url", remedy=remedy)
    return urlsplit(url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; without a host where it is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", None, None
    return parts.scheme, parts.hostname, port or {"https": 443, "http": 80}.get(parts.scheme)


def _named_key(variable: str) -> str:
    where = "--api-key-env"
    if not _VARIABLE.fullmatch(variable):  # it may be the key itself, which is not to be shown
        raise UsageError("is no name of a variable", where=where, remedy=f"give a name such as {API_KEY}")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"{variable} is not set", where=where, remedy=f"export {variable}")
    return _checked(key, variable)


def _read_key(path: Path) -> str:
    """The key in a file that nobody but its owner can read."""
    where = f"--api-key-file {path}"
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(4096)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=where) from None
    if not stat.S_ISREG(mode) or mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError("others can read it", where=where, remedy=f"run: chmod 600 {path}")
    key = content.decode(errors="replace").strip()
    if not key:
        raise UsageError("is empty", where=where, remedy="write the key into it, and nothing else")
    return _checked(key, str(path))


def _checked(key: str, source: str) -> str:
    if key and not _KEY.fullmatch(key):
        raise UsageError("holds more than a key", where=source, remedy="write the key, and nothing else")
    return key
