"""The answer to one request: what an application says, framed for the wire."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from wsgiref.util import is_hop_by_hop

from mbuzz import ids
from mbuzz.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from types import TracebackType

    from mbuzz.server.http.response import Response

    ExcInfo = (
        tuple[type[BaseException], BaseException, TracebackType]
        | tuple[None, None, None]
    )

_logger = logging.getLogger("mbuzz.server")

_ONE_SEND: Final = 65_536  # bytes of body up to which the head joins it

_STATUS: Final = re.compile(r"([2-5][0-9]{2}) [^\x00-\x1f\x7f]*")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_GOES_ON: Final = b"\r\n"  # how a head ends
_GOES_ON_10: Final = b"Connection: keep-alive\r\n\r\n"
_ENDS: Final = b"Connection: close\r\n\r\n"
_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])  # what no value may have
_OURS: Final = ("content-length", "date")  # headers that the server sends itself
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


def error_answer(status: int, sentence: str, headers: bytes = b"") -> bytes:
    """Return a whole answer that says why, and that the connection ends.

    Its request's own id may not be known yet; the log knows the one that is made here.
    """
    request_id = ids.token(6)
    _logger.debug("refused (status=%d, request_id=%s)", status, request_id)
    body = json.dumps({"error": sentence, "code": _CODES[status]}).encode("ascii")
    return (
        b"HTTP/1.1 %d %b\r\n%bContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nX-Request-Id: %b\r\n%bConnection: close\r\n\r\n%b"
    ) % (
        status,
        HTTPStatus(status).phrase.encode("ascii"),
        _date(SYSTEM_CLOCK.now_ms() // 1000),
        len(body),
        request_id.encode("ascii"),
        headers,
        body,
    )


def whole_answer(response: Response, *, keep: bool, http11: bool) -> bytes:
    """Return *response* as it goes over the wire, its head and its body.

    Raises:
        ValueError: If a header cannot go on the wire as it is.
    """
    status, body, headers = response
    lines = [f"{name}: {value}\r\n" for name, value in headers if _is_known(name)]
    head = "".join(lines).encode("latin-1")
    if len(head.translate(None, _CONTROLS)) < len(head) - 2 * len(lines):
        for name, value in headers:
            _checked(name, value)  # one of them says what is wrong with it
    first = _first_line(response.status_line)
    date = _date(SYSTEM_CLOCK.now_ms() // 1000)
    if status in _BODILESS:
        body, length = b"", b""
    else:
        length = b"Content-Length: %d\r\n" % len(body)
    end = (_GOES_ON if http11 else _GOES_ON_10) if keep else _ENDS
    return b"".join((first, head, date, length, end, body))


@lru_cache(maxsize=64)
def _first_line(status: str) -> bytes:
    if _STATUS.fullmatch(status) is None:
        raise ValueError(f"status must look like '200 OK', got {status!r}")
    return f"HTTP/1.1 {status}\r\n".encode("latin-1")


@lru_cache(maxsize=256)
def _is_known(name: str) -> bool:
    """Tell whether a header by this *name* is the application's to send."""
    return _folded(name) not in _OURS


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return b"Date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")


class Answer:
    """Frames what an application says to one request; bytes out, no sockets.

    Args:
        head_only: The request was a HEAD.
        http11: The client understands chunks.
        keep: Asked when the head is about to leave: may the connection stay open?
    """

    def __init__(
        self, *, head_only: bool, http11: bool, keep: Callable[[], bool]
    ) -> None:
        self._head_only = head_only
        self._http11 = http11
        self._keep = keep
        self.keep_alive = False  # what the client was told
        self.status = 0
        self.begun = False  # the head is out
        self._lines = b""  # status line and headers, as they go out
        self._dated = False
        self._announced: int | None = None  # the application's Content-Length
        self._left: int | None = None  # bytes of body still owed
        self._chunked = False

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: ExcInfo | None = None,
    ) -> None:
        """Take status and headers; they leave with the first bytes of the body.

        Raises:
            ValueError: If they cannot go on the wire as they are.
            RuntimeError: If called twice without *exc_info*.
        """
        if exc_info is not None and self.begun:
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

    def piece(self, data: bytes) -> bytes:
        """Return a piece of the body as it goes out, the head before the first.

        Raises:
            TypeError: If it is no bytes.
            RuntimeError: If it is more than was announced.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"a body is made of bytes, got {type(data).__name__}")
        if not data:
            return b""
        head = b"" if self.begun else self._begin(None)
        framed = self._framed(data)
        self.begun = True
        return head + framed

    def whole(self, body: bytes) -> list[bytes]:
        """Return the whole answer with *body*, a large one uncopied.

        A length known beforehand saves the chunks, and every packet but one.
        """
        head = self._begin(len(body))
        framed = self._framed(body)
        end = self._ending()
        self.begun = True
        if len(framed) <= _ONE_SEND:
            return [b"".join((head, framed, end))]
        return [head, framed, end]

    def end(self) -> list[bytes]:
        """Return what comes after the last piece.

        Raises:
            RuntimeError: If the body is not as long as was announced.
        """
        return [self._ending()] if self.begun else self.whole(b"")

    def failure(self) -> bytes:
        """Return a 500, or nothing if a part of another answer is out."""
        self.keep_alive = False
        if self.begun:
            return b""
        self.begun = True
        answer = error_answer(500, "The server failed; it was logged.")
        if self._head_only:
            answer = answer[: answer.index(b"\r\n\r\n") + 4]
        return answer

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
        if self.bodiless:
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
    def bodiless(self) -> bool:
        """Tell whether no byte of a body goes out."""
        return self._head_only or self.status in _BODILESS

    def _framed(self, data: bytes) -> bytes:
        if self.bodiless:
            return b""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self._left is not None:
            if len(data) > self._left:
                raise RuntimeError("the body is longer than its Content-Length")
            self._left -= len(data)
        return data

    def _ending(self) -> bytes:
        if self._left:
            raise RuntimeError(
                f"the body is shorter than its Content-Length (missing={self._left})"
            )
        return b"0\r\n\r\n" if self._chunked else b""


def _checked(name: str, value: str) -> str:
    """Return a header's name in lower case.

    Raises:
        ValueError: If the header cannot go on the wire, or is not the application's.
    """
    folded = _folded(name)
    if not _is_plain(value) and not _VALUE.fullmatch(value):
        raise ValueError(f"header {name!r} has a character it may not have")
    if folded == "content-length" and not value.isdecimal():
        raise ValueError(f"Content-Length is no number: {value!r}")
    return folded


def _is_plain(value: str) -> bool:
    """Tell whether *value* surely may be sent; much the cheaper question."""
    return value.isascii() and value.isprintable()


@lru_cache(maxsize=256)
def _folded(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"header {name!r} has a character it may not have")
    folded = name.lower()
    if is_hop_by_hop(folded):
        raise ValueError(f"header {name!r} is the server's to send")
    return folded
