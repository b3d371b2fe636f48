"""Threaded HTTP/1.1 server for a WSGI application: listens, starts and stops."""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mbuzz import guard
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.protocol import MAX_BODY_BYTES
from mbuzz.server.http.answer import error_answer
from mbuzz.server.http.connection import LINGER, Connection, Terms
from mbuzz.server.http.open_connections import OpenConnections

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_logger = logging.getLogger("mbuzz.server")

_BACKLOG: Final = 512
_POLL: Final = 0.1  # seconds until the accepting loop sees a shutdown
_MAX_LEAVING: Final = 64  # turned-away sockets kept open to be read


class WSGIServer:
    """Serves a WSGI application over HTTP/1.1, with a thread for each connection.

    A request is read whole before *app* is called, so a slow client never holds an
    application thread's locks and a connection never loses its place. Requests that
    are malformed, ambiguous, too large or too slow are answered by the server itself,
    in JSON: ``{"error": "<sentence>", "code": "<word>"}``.

    Args:
        app: The application.
        host: Address to listen on; one with a colon is IPv6.
        port: Port to listen on; 0 takes a free one.
        max_connections: Open connections; one more is answered 503.
        request_timeout: Seconds for a whole request to arrive, and for each 256 KiB
            of an answer to leave.
        idle_timeout: Seconds a connection is kept for its next request.
        max_body_bytes: Largest request body; a larger one is answered 413.
        on_error: Called, on the connection's thread, with what *app* raised, after
            the 500 and the log entry. It must not raise.

    Raises:
        OSError: If the address cannot be listened on.
    """

    def __init__(
        self,
        app: WSGIApplication,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        max_connections: int = 512,
        request_timeout: float = 10.0,
        idle_timeout: float = 30.0,
        max_body_bytes: int = MAX_BODY_BYTES,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        self._listener = _listen(host, port)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._terms = Terms(
            app=app,
            host=host,
            port=self.port,
            request_timeout=request_timeout,
            idle_timeout=idle_timeout,
            max_body_bytes=max_body_bytes,
        )
        self._on_error = on_error
        self._open = OpenConnections(max_connections)
        self._leaving: deque[tuple[float, socket.socket]] = deque()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._ended.set()
        self._serving: int | None = None  # the accepting thread

    @property
    def url(self) -> str:
        """Return the root without a slash, ``http://127.0.0.1:8787``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def serve_forever(self) -> None:
        """Serve until `shutdown` is called, from another thread or a signal handler."""
        self._ended.clear()
        self._serving = threading.get_ident()
        try:
            while not self._stop.is_set():
                self._accept()
                self._forget_leaving()
        finally:
            self._ended.set()

    def start(self) -> None:
        """Serve on a daemon thread and return at once."""
        threading.Thread(
            target=self.serve_forever, name="mbuzz-http", daemon=True
        ).start()

    def shutdown(self, grace: float = 5.0) -> None:
        """Stop accepting, close idle connections, wait for running requests.

        A request that ends in time is answered, with ``Connection: close``; what still
        runs after *grace* seconds is cut off. Calling it again does nothing.
        """
        self._stop.set()
        if self._serving != threading.get_ident():
            self._ended.wait()
        self._listener.close()
        self._open.stop(grace)
        while self._leaving:
            self._leaving.popleft()[1].close()

    def __enter__(self) -> WSGIServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()

    def _accept(self) -> None:
        """Give the next connection its thread, or turn it away."""
        try:
            connection, address = self._listener.accept()
        except TimeoutError:
            return
        except OSError:
            # Out of file descriptors, the next try would fail at once: do not spin.
            self._stop.wait(_POLL)
            return
        if not self._open.admit(connection):
            self._turn_away(connection)
            return
        thread = threading.Thread(
            target=self._serve, args=(connection, address), daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads to give
            _logger.warning("connection dropped (open=%d)", self._open.count)
            self._open.close(connection)

    def _serve(self, raw: socket.socket, address: tuple[Any, ...]) -> None:
        try:
            connection = Connection(raw, address, self._terms, self._open)
            guard.attempt(connection.serve, self._failed)
        finally:
            self._open.close(raw)

    def _failed(self, error: Exception) -> None:
        guard.report("wsgi_application", error)
        if self._on_error is not None:
            self._on_error(error)

    def _turn_away(self, connection: socket.socket) -> None:
        """Say 503 without waiting for anything: this is the accepting thread."""
        _logger.debug("turned away (connections=%d)", self._open.most)
        answer = error_answer(
            503,
            f"All {self._open.most} connections are in use.",
            b"Retry-After: 1\r\n",
        )
        with suppress(OSError):
            connection.settimeout(0)
            connection.send(answer)
            connection.shutdown(socket.SHUT_WR)
        self._leaving.append((SYSTEM_CLOCK.monotonic() + LINGER, connection))

    def _forget_leaving(self) -> None:
        """Close the turned-away connections whose moment is over."""
        now = SYSTEM_CLOCK.monotonic()
        while self._leaving and (
            self._leaving[0][0] <= now or len(self._leaving) > _MAX_LEAVING
        ):
            self._leaving.popleft()[1].close()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket whose `accept` returns every now and then."""
    ipv6 = ":" in host
    # Unlike a plain bind it lets no other process take the port over on Windows.
    listener = socket.create_server(
        (host, port),
        family=socket.AF_INET6 if ipv6 else socket.AF_INET,
        backlog=_BACKLOG,
        dualstack_ipv6=ipv6 and socket.has_dualstack_ipv6(),
    )
    listener.settimeout(_POLL)
    return listener
