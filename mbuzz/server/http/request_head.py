"""The head of an HTTP/1.1 request: read from a stream, judged strictly, as values.

Leniency here is what lets a request be smuggled past a proxy in front, so whatever
two readers could understand differently is refused.

Source: RFC 9112, sections 2.2 to 6; PEP 3333, "environ Variables".
"""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

_MAX_LINE: Final = 16_384  # bytes of the request line, and of one header
_MAX_HEAD: Final = 65_536  # bytes of all headers
_MAX_HEADERS: Final = 100

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(
    rb"(%b) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])" % _TOKEN
)
_HEADER_NAME: Final = re.compile(_TOKEN)
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?#]+)", re.IGNORECASE)
_LENGTH: Final = re.compile(r"[0-9]+")
_SINGLE: Final = frozenset({"CONTENT_LENGTH", "HTTP_HOST"})


class RequestError(Exception):
    """The server answers this request itself, and closes the connection."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


class Head(NamedTuple):
    """A request without its body."""

    method: str
    path: str  # percent-decoded bytes as latin-1, the way PEP 3333 wants text
    query: str
    minor: int  # of HTTP/1.x
    headers: dict[str, str]  # by their name in the WSGI environ

    @property
    def keeps_alive(self) -> bool:
        """Tell whether the client wants to send more on this connection."""
        options = {
            option.strip().lower()
            for option in self.headers.get("HTTP_CONNECTION", "").split(",")
        }
        return "close" not in options and (self.minor > 0 or "keep-alive" in options)

    def expects_continue(self) -> bool:
        """Tell whether the client waits to be told to send the body.

        Raises:
            RequestError: If it expects something else.
        """
        expected = self.headers.get("HTTP_EXPECT", "").lower()
        if not expected or not self.minor:
            return False
        if expected != "100-continue":
            raise RequestError("Only Expect: 100-continue is known.", 417)
        return True

    def body_length(self, limit: int) -> int:
        """Return how many bytes of body follow; 0 where none is declared.

        Raises:
            RequestError: If that is ambiguous, undeclared or more than *limit*.
        """
        declared = self.headers.get("CONTENT_LENGTH")
        if "HTTP_TRANSFER_ENCODING" in self.headers:
            if declared is not None:  # two answers to "where does the next one begin"
                raise RequestError("Content-Length excludes Transfer-Encoding.")
            raise RequestError("Send a Content-Length, not a Transfer-Encoding.", 411)
        if declared is None:
            return 0
        if not _LENGTH.fullmatch(declared):
            raise RequestError("Content-Length must be a number.")
        # The length of the text first: int() refuses, loudly, what is thousands long.
        if len(declared) > 18 or int(declared) > limit:
            raise RequestError(f"The body exceeds {limit} bytes.", 413)
        return int(declared)


def read_head(stream: io.BufferedIOBase) -> Head:
    """Read and check a request up to its body.

    Raises:
        RequestError: If it is malformed, ambiguous or over a limit.
        OSError: If the client left or took too long.
    """
    # One empty line may precede a request: some clients end their bodies so.
    match = _REQUEST_LINE.fullmatch(_read_line(stream) or _read_line(stream))
    if match is None:
        raise RequestError("The request line is malformed.")
    method, target = match[1].decode("ascii"), match[2]
    if match[3] != b"1":
        raise RequestError("Only HTTP/1.0 and HTTP/1.1 are spoken.", 505)
    minor = int(match[4])
    headers = _read_headers(stream)
    if minor and "HTTP_HOST" not in headers:
        raise RequestError("The Host header is missing.")
    if absolute := _ABSOLUTE_FORM.match(target):
        headers["HTTP_HOST"] = absolute[1].decode("latin-1")
        target = target[absolute.end() :]
        if not target.startswith(b"/"):
            target = b"/" + target
    elif method == "OPTIONS" and target == b"*":
        target = b""
    elif not target.startswith(b"/"):
        raise RequestError("The request target is malformed.")
    path, _, query = target.partition(b"?")
    return Head(
        method=method,
        path=unquote_to_bytes(path).decode("latin-1"),
        query=query.decode("latin-1"),
        minor=minor,
        headers=headers,
    )


def _read_headers(stream: io.BufferedIOBase) -> dict[str, str]:
    headers: dict[str, str] = {}
    size = 0
    for _ in range(_MAX_HEADERS + 1):
        line = _read_line(stream)
        if not line:
            return headers
        size += len(line)
        if size > _MAX_HEAD:
            raise RequestError(f"The headers exceed {_MAX_HEAD} bytes.", 431)
        name, colon, rest = line.partition(b":")
        key = _environ_key(name if colon else b"")
        value = rest.strip(b" \t").decode("latin-1")
        if not key:
            continue
        if key in headers:
            if key in _SINGLE:
                raise RequestError("Host or Content-Length is repeated.")
            value = headers[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
        headers[key] = value
    raise RequestError(f"More than {_MAX_HEADERS} headers were sent.", 431)


def _read_line(stream: io.BufferedIOBase) -> bytes:
    line = stream.readline(_MAX_LINE + 1)
    if len(line) > _MAX_LINE:
        raise RequestError(f"A header line exceeds {_MAX_LINE} bytes.", 431)
    if not line.endswith(b"\n"):
        raise ConnectionAbortedError("the client left in the middle of a line")
    line = line[:-2] if line.endswith(b"\r\n") else line[:-1]
    if _CONTROL.search(line):
        raise RequestError("The head has a control character.")
    return line


@lru_cache(maxsize=1024)
def _environ_key(name: bytes) -> str:
    """Return a header's name in the WSGI environ, empty for one to ignore.

    Raises:
        RequestError: If it is no header name; spaces before the colon included,
            which other servers in front may read differently.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise RequestError("A header line is malformed.")
    if b"_" in name:  # X_Real_IP would pose as X-Real-IP
        return ""
    key = name.decode("ascii").upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
