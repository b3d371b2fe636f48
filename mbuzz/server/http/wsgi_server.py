"""HTTP/1.1 server for a WSGI application: listens, starts and stops."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.protocol import MAX_BODY_BYTES
from mbuzz.server.http.connection import Connection
from mbuzz.server.http.descriptors import room_for_connections
from mbuzz.server.http.listener import Listener, listen
from mbuzz.server.http.loop import Loop
from mbuzz.server.http.pool import Pool
from mbuzz.server.http.service import Service

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

_URGENT_THREADS: Final = 2  # one that takes its time holds up no other


class WSGIServer:
    """Serves a WSGI application over HTTP/1.1: one loop, and a few threads for calls.

    The loop holds all connections, so thousands may be idle or slow. A request is
    read whole before *app* is called, on one of the threads. An application with a
    method ``begin`` (see `mbuzz.server.http.deferred`) is offered each POST on the
    loop first, and its ``urgent_paths``, if it names any, have threads of their own:
    they are answered while all others are occupied. Requests that are malformed,
    ambiguous, too large or too slow are answered by the server itself, in JSON:
    ``{"error": "<sentence>", "code": "<word>"}``.

    Args:
        app: The application.
        host: Address to listen on; one with a colon is IPv6.
        port: Port to listen on; 0 takes a free one.
        max_connections: Open connections; one more is answered 503. Without it, as
            many as the process may have sockets; its soft limit is raised for that.
        request_timeout: Seconds for a whole request to arrive, and for each 256 KiB
            of an answer to leave.
        idle_timeout: Seconds a connection is kept for its next request.
        max_body_bytes: Largest request body; a larger one is answered 413.
        on_error: Called, on the thread where it happened, with what *app* raised,
            after the 500 and the log entry. It must not raise.
        threads: Calls of *app* that may run at the same time.
        max_waiting: Requests that may wait for a thread; one more is answered 503.

    Raises:
        OSError: If the address cannot be listened on.
    """

    def __init__(
        self,
        app: WSGIApplication,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        max_connections: int | None = None,
        request_timeout: float = 10.0,
        idle_timeout: float = 30.0,
        max_body_bytes: int = MAX_BODY_BYTES,
        on_error: Callable[[Exception], object] | None = None,
        threads: int = 16,
        max_waiting: int = 512,
    ) -> None:
        raw = listen(host, port)
        self.host = host
        self.port: int = raw.getsockname()[1]
        self._loop = Loop()
        self._loop.after_round = getattr(app, "settle", None)
        self._service = Service(
            app=app,
            host=host,
            port=self.port,
            request_timeout=request_timeout,
            idle_timeout=idle_timeout,
            max_body_bytes=max_body_bytes,
            on_error=on_error,
            loop=self._loop,
            pool=Pool(threads, max_waiting),
            urgent_pool=Pool(_URGENT_THREADS, max_waiting),
        )
        most = room_for_connections() if max_connections is None else max_connections
        self._listener = Listener(raw, most, self._service)
        self._lock = threading.RLock()  # a signal handler may come in between
        self._until = inf  # the moment at which running requests are cut off
        self._stopped = False  # no event: a signal handler may come in between
        self._serving: int | None = None  # the thread that does
        self._released = False
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """Return the root without a slash, ``http://127.0.0.1:8787``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def figures(self) -> dict[str, float | None]:
        """Return what there is to measure: how many wait, and for how long."""
        return {
            "open_connections": len(self._service.open),
            "waiting_calls": self._service.pool.waiting,
            "loop_lag_seconds": self._loop.lag(),
        }

    def serve_forever(self) -> None:
        """Serve until `shutdown` is called, from another thread or a signal handler."""
        with self._lock:
            if self._stopped or self._serving is not None:
                return
            self._serving = threading.get_ident()
        try:
            self._listener.open()
            while self._goes_on():
                self._loop.turn()
            self._finish()
        finally:
            self._release()

    def start(self) -> None:
        """Serve on a daemon thread and return at once."""
        threading.Thread(
            target=self.serve_forever, name="mbuzz-http", daemon=True
        ).start()

    def shutdown(self, grace: float = 5.0) -> None:
        """Stop accepting, close idle connections, wait for running requests.

        A request that ends in time is answered, with ``Connection: close``; what still
        runs after *grace* seconds is cut off. Calling it again does nothing. From a
        signal handler on the serving thread it returns at once, and `serve_forever`
        returns when all this is done.
        """
        with self._lock:
            self._until = min(self._until, SYSTEM_CLOCK.monotonic() + grace)
            self._stopped = True
            serving = self._serving
        if serving is None:
            self._release()
        elif serving != threading.get_ident():
            self._loop.wake()
            self._ended.wait()

    def __enter__(self) -> WSGIServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()

    def _finish(self) -> None:
        """Answer what has begun, for as long as the grace lasts."""
        self._loop.take_in()  # what was sent before the end
        self._service.stopping = True
        self._listener.close()
        for connection in self._connections():
            connection.stop()
        while self._service.open and (left := self._left()) > 0:
            self._loop.turn(left)

    def _release(self) -> None:
        """Close whatever is open; only once."""
        with self._lock:
            self._stopped = True
            if self._released:
                return
            self._released = True
        self._service.stopping = True
        self._listener.close()
        for connection in self._connections():
            connection.close()
        interrupted = self._until == inf  # nobody granted anything
        for pool in (self._service.pool, self._service.urgent_pool):
            pool.stop(0.0 if interrupted else self._left())
        self._loop.close()
        self._ended.set()

    def _goes_on(self) -> bool:
        """Tell whether nobody has told it to stop."""
        return not self._stopped

    def _left(self) -> float:
        return self._until - SYSTEM_CLOCK.monotonic()

    def _connections(self) -> list[Connection]:
        return list(self._service.open)
