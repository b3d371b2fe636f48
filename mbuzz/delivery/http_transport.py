"""One keep-alive HTTP connection to the API; imported by the first delivery only."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
)
from urllib.parse import urlsplit

from mbuzz.clock import Clock
from mbuzz.delivery.timed_socket import TimedSocket
from mbuzz.delivery.transport import Response, TransportError

_LARGEST_ANSWER = 4_194_304  # bytes; an answer to 500 events has about 100 KiB


class HttpTransport:
    """The standard library's client, kept alive; redirects are never followed."""

    def __init__(
        self,
        api_url: str,
        clock: Clock,
        *,
        connect_timeout: float = 3.0,
        ca_bundle: str | None = None,
    ) -> None:
        parts = urlsplit(api_url)
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self._base = parts.path.rstrip("/")
        self._clock = clock
        self._connect_timeout = connect_timeout
        self._ca_bundle = ca_bundle
        self._connection: HTTPConnection | None = None
        self._socket: TimedSocket | None = None

    def post(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> Response:
        """Send *body* and return the answer within *timeout* seconds.

        Raises:
            TransportError: If no usable answer came in time.
        """
        return self.request("POST", path, body, headers, timeout)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Response:
        """Do one HTTP exchange; a stale kept-alive connection costs one more try.

        Raises:
            TransportError: If no usable answer came in time.
        """
        deadline = self._clock.monotonic() + timeout
        reused = self._connection is not None
        try:
            try:
                return self._exchange(method, path, body, headers, deadline)
            except (ConnectionError, HTTPException):
                self.close()
                if not reused:
                    raise
                return self._exchange(method, path, body, headers, deadline)
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise TransportError(type(error).__name__) from error

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> Response:
        connection, timed = self._connection, self._socket
        if connection is None or timed is None:
            connection, timed = self._connect(deadline)
        timed.deadline = deadline
        connection.request(method, self._base + path, body, dict(headers))
        with connection.getresponse() as answer:
            data = _read(answer)
        found: dict[str, tuple[str, ...]] = {}
        for name, value in answer.getheaders():
            key = name.lower()
            found[key] = (*found.get(key, ()), value)
        if answer.will_close:
            self.close()
        return Response(status=answer.status, headers=found, body=data)

    def _connect(self, deadline: float) -> tuple[HTTPConnection, TimedSocket]:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        timeout = min(self._connect_timeout, left)
        connection: HTTPConnection
        if self._secure:
            tls = ssl.create_default_context(cafile=self._ca_bundle)
            connection = HTTPSConnection(
                self._host, self._port, timeout=timeout, context=tls
            )
        else:
            connection = HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.connect()
        except OSError:
            connection.close()
            raise
        connection.auto_open = 0  # never another one behind the deadline's back
        self._socket = connection.sock = TimedSocket(connection.sock, self._clock)
        self._connection = connection
        return connection, self._socket

    def close(self) -> None:
        """Let the connection go."""
        connection, self._connection, self._socket = self._connection, None, None
        if connection is not None:
            connection.close()


def _read(answer: HTTPResponse) -> bytes:
    """Return the body, all of it or an error."""
    chunks: list[bytes] = []
    left = _LARGEST_ANSWER
    while chunk := answer.read1(65_536):
        left -= len(chunk)
        if left < 0:
            raise ValueError("the answer is too large")
        chunks.append(chunk)
    if answer.length:
        raise IncompleteRead(b"", answer.length)
    return b"".join(chunks)
