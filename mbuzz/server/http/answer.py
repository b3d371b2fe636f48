"""The answer to one request: what an application says, framed for the wire."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from wsgiref.util import is_hop_by_hop

from mbuzz.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import WSGIApplication

    ExcInfo = (
        tuple[type[BaseException], BaseException, TracebackType]
        | tuple[None, None, None]
    )

_ONE_SEND: Final = 65_536  # bytes up to which head and body leave together
_SEND_PIECE: Final = 262_144  # bytes that must leave within one timeout

_STATUS: Final = re.compile(r"([2-5][0-9]{2}) [^\x00-\x1f\x7f]*")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_CODES: Final = {  # the machine words of the server's own answers
    400: "bad_request",
    408: "request_timeout",
    411: "length_required",
    413: "payload_too_large",
    417: "expectation_failed",
    431: "headers_too_large",
    500: "internal_error",
    503: "too_many_connections",
    505: "http_version_not_supported",
}


class ClientGoneError(Exception):
    """The client went away, or stopped reading its answer."""


def error_answer(status: int, sentence: str, headers: bytes = b"") -> bytes:
    """Return a whole answer that says why, and that the connection ends."""
    body = json.dumps({"error": sentence, "code": _CODES[status]}).encode("ascii")
    return (
        b"HTTP/1.1 %d %b\r\n%bContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n%bConnection: close\r\n\r\n%b"
    ) % (
        status,
        HTTPStatus(status).phrase.encode("ascii"),
        _date(SYSTEM_CLOCK.now_ms() // 1000),
        len(body),
        headers,
        body,
    )


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")


class Answer:
    """Calls an application once and sends what it returns.

    Args:
        connection: Where to.
        timeout: Seconds for each 256 KiB of the answer to leave.
        head_only: The request was a HEAD.
        http11: The client understands chunks.
        keep: Asked when the head is about to leave: may the connection stay open?
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        timeout: float,
        head_only: bool,
        http11: bool,
        keep: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._head_only = head_only
        self._http11 = http11
        self._keep = keep
        self.keep_alive = False  # what the client was told
        self.status = 0
        self._lines = b""  # status line and headers, as they go out
        self._dated = False
        self._announced: int | None = None  # the application's Content-Length
        self._left: int | None = None  # bytes of body still owed
        self._chunked = False
        self._sent = False

    def run(self, app: WSGIApplication, environ: dict[str, Any]) -> None:
        """Call *app* and send what it returns; a 500 in place of a failure.

        Raises:
            ClientGoneError: If the client does not take the answer.
            Exception: What the application raised or did against PEP 3333.
        """
        whole = False
        try:
            self._run(app, environ)
            whole = True
        finally:
            if not whole:
                self._fail()

    def _run(self, app: WSGIApplication, environ: dict[str, Any]) -> None:
        result: Iterable[Any] = app(environ, self.start_response)
        try:
            # A length known beforehand saves the chunks, and every packet but one.
            if isinstance(result, list | tuple | bytes) and not self._sent:
                body = result if isinstance(result, bytes) else b"".join(result)
                head = self._begin(len(body))
                self._end(head, self._framed(body))
            else:
                for piece in result:
                    self.write(piece)
                self._end(b"" if self._sent else self._begin(0))
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def start_response(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
        /,
    ) -> Callable[[bytes], object]:
        """Take status and headers; they leave with the first bytes of the body.

        Raises:
            ValueError: If they cannot go on the wire as they are.
            RuntimeError: If called twice without *exc_info*.
        """
        if exc_info is not None and self._sent:
            try:
                raise exc_info[1] or RuntimeError("the headers are already sent")
            finally:
                exc_info = None  # its traceback refers to this frame
        if exc_info is None and self._lines:
            raise RuntimeError("start_response() was called twice without exc_info")
        match = _STATUS.fullmatch(status)
        if match is None:
            raise ValueError(f"status must look like '200 OK', got {status!r}")
        lines = [f"HTTP/1.1 {status}\r\n"]
        announced, dated = None, False
        for name, value in headers:
            folded = _checked(name, value)
            if folded == "content-length":
                announced = int(value)
            else:
                dated = dated or folded == "date"
                lines.append(f"{name}: {value}\r\n")
        self._lines = "".join(lines).encode("latin-1")
        self.status, self._announced, self._dated = int(match[1]), announced, dated
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body now, with the headers if they are still here."""
        if not isinstance(data, bytes):
            raise TypeError(f"a body is made of bytes, got {type(data).__name__}")
        if data:
            head = b"" if self._sent else self._begin(None)
            self._send(head, self._framed(data))

    def _fail(self) -> None:
        """Answer 500, if nothing of another answer is out."""
        self.keep_alive = False
        if self._sent:
            return
        answer = error_answer(500, "The server failed; it was logged.")
        if self._head_only:
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        with suppress(ClientGoneError):
            self._send(answer)

    def _begin(self, known: int | None) -> bytes:
        """Return the head, and settle how the body is framed.

        *known* is the length of the whole body, None while that is open.
        """
        if not self._lines:
            raise RuntimeError("the application did not call start_response()")
        self.keep_alive = self._keep()
        parts = [self._lines]
        if not self._dated:
            parts.append(_date(SYSTEM_CLOCK.now_ms() // 1000))
        length = known if self._announced is None else self._announced
        if self._bodiless:
            # An empty body says nothing about the length that GET would have.
            length = length if known else self._announced
            if self.status == HTTPStatus.NO_CONTENT:
                length = None
        elif length is not None:
            self._left = length
        elif self._http11:
            self._chunked = True
            parts.append(b"Transfer-Encoding: chunked\r\n")
        else:
            self.keep_alive = False  # the end of the connection ends the body
        if length is not None:
            parts.append(b"Content-Length: %d\r\n" % length)
        if not self.keep_alive:
            parts.append(b"Connection: close\r\n")
        elif not self._http11:
            parts.append(b"Connection: keep-alive\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    @property
    def _bodiless(self) -> bool:
        return self._head_only or self.status in _BODILESS

    def _framed(self, data: bytes) -> bytes:
        if self._bodiless:
            return b""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self._left is not None:
            if len(data) > self._left:
                raise RuntimeError("the body is longer than its Content-Length")
            self._left -= len(data)
        return data

    def _end(self, *parts: bytes) -> None:
        """Send the last *parts*, if with them the answer is whole."""
        if self._left:
            raise RuntimeError(
                f"the body is shorter than its Content-Length (missing={self._left})"
            )
        self._send(*parts, b"0\r\n\r\n" if self._chunked else b"")

    def _send(self, *parts: bytes) -> None:
        if sum(map(len, parts)) <= _ONE_SEND:
            parts = (b"".join(parts),)
        self._sent = True  # also when that fails: then there is nobody to tell
        try:
            self._connection.settimeout(self._timeout)
            for part in parts:
                view = memoryview(part)
                for at in range(0, len(view), _SEND_PIECE):
                    self._connection.sendall(view[at : at + _SEND_PIECE])
        except OSError as error:
            raise ClientGoneError from error


def _checked(name: str, value: str) -> str:
    """Return a header's name in lower case.

    Raises:
        ValueError: If the header cannot go on the wire, or is not the application's.
    """
    if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
        raise ValueError(f"header {name!r} has a character it may not have")
    folded = name.lower()
    if is_hop_by_hop(folded):
        raise ValueError(f"header {name!r} is the server's to send")
    if folded == "content-length" and not value.isdecimal():
        raise ValueError(f"Content-Length is no number: {value!r}")
    return folded
