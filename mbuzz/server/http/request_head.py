"""The head of an HTTP/1.1 request: judged strictly, as values.

Leniency here is what lets a request be smuggled past a proxy in front, so whatever
two readers could understand differently is refused.

Source: RFC 9112, sections 2.2 to 6; PEP 3333, "environ Variables".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

MAX_LINE: Final = 16_384  # bytes of the request line, and of one header
MAX_HEAD: Final = 65_536  # bytes of all headers
MAX_HEADERS: Final = 100

_SHORT: Final = 1_024  # bytes of a head that may be remembered
_REMEMBERED: Final = 512  # heads

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WORD_BYTES: Final = frozenset(
    code for code in range(128) if re.fullmatch(_WORD, chr(code))
)
_REQUEST_LINE: Final = re.compile(
    rf"({_WORD}) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])"
)
_HEADER_NAME: Final = re.compile(_WORD)
_CONTROLS: Final = bytes(
    code for code in [*range(0x20), 0x7F] if chr(code) not in "\t\r\n"
)
_ABSOLUTE_FORM: Final = re.compile(r"https?://([^/?#]+)", re.IGNORECASE)
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
    headers: Mapping[str, str]  # by their name in the WSGI environ

    @property
    def keeps_alive(self) -> bool:
        """Tell whether the client wants to send more on this connection."""
        if "HTTP_CONNECTION" not in self.headers:
            return self.minor > 0
        options = {
            option.strip().lower()
            for option in self.headers["HTTP_CONNECTION"].split(",")
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


def read_head(block: bytes) -> Head:
    """Return what *block* says, as `parse_head` does.

    A client that keeps its connection says the same, or nearly, time after time.

    Raises:
        RequestError: If it is malformed, ambiguous or over a limit.
    """
    return (_parsed if len(block) <= _SHORT else parse_head)(block)


def parse_head(block: bytes) -> Head:
    """Return what *block* says: the request line and headers, each with its line end.

    Raises:
        RequestError: If it is malformed, ambiguous or over a limit.
    """
    check_line(block[: block.find(b"\n") + 1], MAX_LINE)
    if len(block) > MAX_LINE:
        _check_size(block)
    # Carriage returns belong to line ends only, and other control characters nowhere.
    if len(block) != len(block.translate(None, _CONTROLS)) or (
        block.count(b"\r") != block.count(b"\r\n")
    ):
        raise RequestError("The head has a control character.")
    first, *lines = block.decode("latin-1").split("\n")
    lines.pop()  # what follows the last line end
    match = _REQUEST_LINE.fullmatch(first.rstrip("\r"))
    if match is None:
        raise RequestError("The request line is malformed.")
    method, target, major, minor = match.groups()
    if major != "1":
        raise RequestError("Only HTTP/1.0 and HTTP/1.1 are spoken.", 505)
    headers = _headers(lines)
    if "HTTP_HOST" not in headers and minor != "0":
        raise RequestError("The Host header is missing.")
    if target[0] != "/":
        target = _origin_form(method, target, headers)
    path, _, query = target.partition("?")
    if "%" in path:
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    return Head(method, path, query, int(minor), headers)


_parsed = lru_cache(maxsize=_REMEMBERED)(parse_head)


def check_line(line: bytes | bytearray, limit: int) -> None:
    """Refuse a first line that no request begins with, as soon as it is here.

    Raises:
        RequestError: If it is too long, or of another protocol.
    """
    if len(line) > limit:
        raise RequestError(f"A header line exceeds {limit} bytes.", 431)
    if line and line[0] not in _WORD_BYTES:  # such as TLS: 0x16
        raise RequestError("The request line is malformed.")


def _check_size(block: bytes) -> None:
    first, *lines = block.split(b"\n")
    if max(map(len, lines)) > MAX_LINE:
        raise RequestError(f"A header line exceeds {MAX_LINE} bytes.", 431)
    if len(block) - len(first) > MAX_HEAD:
        raise RequestError(f"The headers exceed {MAX_HEAD} bytes.", 431)


def _origin_form(method: str, target: str, headers: dict[str, str]) -> str:
    """Return the path and query of a target in another form than ``/path?query``."""
    if absolute := _ABSOLUTE_FORM.match(target):
        headers["HTTP_HOST"] = absolute[1]
        target = target[absolute.end() :]
        return target if target.startswith("/") else "/" + target
    if method == "OPTIONS" and target == "*":
        return ""
    raise RequestError("The request target is malformed.")


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_HEADERS:
        raise RequestError(f"More than {MAX_HEADERS} headers were sent.", 431)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, rest = line.partition(":")
        key = _environ_key(name if colon else "")
        if not key:
            continue
        value = rest.strip(" \t\r")
        if key in headers:
            if key in _SINGLE:
                raise RequestError("Host or Content-Length is repeated.")
            value = headers[key] + ("; " if key == "HTTP_COOKIE" else ",") + value
        headers[key] = value
    return headers


@lru_cache(maxsize=1024)
def _environ_key(name: str) -> str:
    """Return a header's name in the WSGI environ, empty for one to ignore.

    Raises:
        RequestError: If it is no header name; spaces before the colon included,
            which other servers in front may read differently.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise RequestError("A header line is malformed.")
    if "_" in name:  # X_Real_IP would pose as X-Real-IP
        return ""
    key = name.upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
