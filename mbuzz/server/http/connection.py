"""One client's connection: request after request, each under a deadline."""

from __future__ import annotations

import io
import logging
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server.http.answer import Answer, ClientGoneError, error_answer
from mbuzz.server.http.open_connections import OpenConnections
from mbuzz.server.http.request_head import Head, RequestError, read_head

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_logger = logging.getLogger("mbuzz.server")

LINGER: Final = 1.0  # seconds a refused client has to read its answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What all connections of a server are served under; times are seconds."""

    app: WSGIApplication
    host: str
    port: int
    request_timeout: float
    idle_timeout: float
    max_body_bytes: int


class Connection:
    """Serves one client on the calling thread; whoever opened *raw* closes it."""

    def __init__(
        self,
        raw: socket.socket,
        address: tuple[Any, ...],
        terms: Terms,
        among: OpenConnections,
    ) -> None:
        self._raw = raw
        self._address = address
        self._terms = terms
        self._among = among
        self._reader = _DeadlineReader(raw)
        self._input = io.BufferedReader(self._reader)
        with suppress(OSError):  # a client already gone is noticed when reading
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Answer requests until one side has enough.

        Raises:
            Exception: What the application raised, after the client was told.
        """
        patience = self._terms.request_timeout
        while request := self._receive(patience):
            if not self._answer(*request):
                return
            patience = self._terms.idle_timeout

    def _receive(self, patience: float) -> tuple[Head, bytes] | None:
        """Return the next request, once it is here whole; None if there is none."""
        try:
            self._reader.allow(patience)
            if self._input.peek(1):
                self._among.set_busy(self._raw, busy=True)
                return self._read()
        except RequestError as error:
            self._refuse(error)
        except OSError:
            pass  # gone, or idle for too long
        return None

    def _read(self) -> tuple[Head, bytes] | None:
        """Read a request that has begun; None if the client leaves in its middle.

        Raises:
            RequestError: If it cannot be accepted.
            OSError: If the client is gone.
        """
        timeout = self._terms.request_timeout
        self._reader.allow(timeout)
        try:
            head = read_head(self._input)
            length = head.body_length(self._terms.max_body_bytes)
            if head.expects_continue() and length:
                self._raw.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._input.read(length) if length else b""
        except TimeoutError:
            raise RequestError(
                f"The request did not arrive within {timeout:g} s.", 408
            ) from None
        return (head, body) if len(body) == length else None

    def _answer(self, head: Head, body: bytes) -> bool:
        """Run and answer a request; return whether another one may follow."""
        answer = Answer(
            self._raw,
            timeout=self._terms.request_timeout,
            head_only=head.method == "HEAD",
            http11=head.minor > 0,
            keep=lambda: head.keeps_alive and not self._among.stopping,
        )
        try:
            answer.run(self._terms.app, self._environ(head, body))
        except ClientGoneError:
            _logger.debug("client gone (method=%s)", head.method)
            return False
        _logger.debug("answered (method=%s, status=%d)", head.method, answer.status)
        # In this order: whoever stops the server sets the flag, then looks for idle.
        self._among.set_busy(self._raw, busy=False)
        return answer.keep_alive and not self._among.stopping

    def _environ(self, head: Head, body: bytes) -> dict[str, Any]:
        return {
            **head.headers,
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": head.path,
            "QUERY_STRING": head.query,
            "SERVER_NAME": self._terms.host,
            "SERVER_PORT": str(self._terms.port),
            "SERVER_PROTOCOL": "HTTP/1.1" if head.minor else "HTTP/1.0",
            "REMOTE_ADDR": self._address[0],
            "REMOTE_PORT": str(self._address[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def _refuse(self, error: RequestError) -> None:
        """Answer in the application's place and let the client read that.

        Closing with unread bytes of the client's would reset the connection, and the
        answer with it; so what still comes is thrown away for a moment.
        """
        _logger.debug("refused (status=%d)", error.status)
        with suppress(OSError):
            self._raw.settimeout(self._terms.request_timeout)
            self._raw.sendall(error_answer(error.status, str(error)))
            self._raw.shutdown(socket.SHUT_WR)
            self._reader.allow(LINGER)
            scratch = bytearray(65_536)
            while self._reader.readinto(scratch):
                pass


class _DeadlineReader(io.RawIOBase):
    """Reads a socket up to a moment, however slowly the bytes drip in."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = 0.0

    def allow(self, seconds: float) -> None:
        """Move the deadline to *seconds* from now."""
        self._deadline = SYSTEM_CLOCK.monotonic() + seconds

    def readable(self) -> bool:
        """Say that this stream can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has arrived, at least a byte unless the client is done."""
        left = self._deadline - SYSTEM_CLOCK.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
