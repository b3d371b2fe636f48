"""What all connections of a server share: its terms, its pool, how much it holds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mbuzz import guard
from mbuzz.server.http.loop import Loop
from mbuzz.server.http.pool import Pool

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from mbuzz.server.http.connection import Connection
    from mbuzz.server.http.deferred import Deferred

MAX_HELD: Final = 268_435_456  # bytes of requests and answers on their way, in all


@dataclass(slots=True, kw_only=True)
class Service:
    """One server, as its connections see it; times are seconds."""

    app: WSGIApplication
    host: str
    port: int
    request_timeout: float
    idle_timeout: float
    max_body_bytes: int
    on_error: Callable[[Exception], object] | None
    loop: Loop
    pool: Pool
    urgent_pool: Pool  # for `urgent_paths`, whatever holds up the other
    stopping: bool = False  # every answer is its connection's last
    held: int = 0  # bytes that connections keep in memory
    max_held: int = MAX_HELD
    holding: dict[Connection, int] = field(default_factory=dict)  # longest first
    open: set[Connection] = field(default_factory=set)
    begin: Callable[[dict[str, Any]], Deferred | None] | None = None
    urgent_paths: frozenset[str] = frozenset()
    environ: dict[str, Any] = field(default_factory=dict)  # what never changes in it

    def __post_init__(self) -> None:
        begin = getattr(self.app, "begin", None)
        self.begin = begin if callable(begin) else None
        self.urgent_paths = frozenset(getattr(self.app, "urgent_paths", ()))
        self.environ = {
            "SCRIPT_NAME": "",
            "SERVER_NAME": self.host,
            "SERVER_PORT": str(self.port),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def submit(self, path: str, call: Callable[[], object]) -> bool:
        """Have a call of the application run; return False if there is no room."""
        pool = self.urgent_pool if path in self.urgent_paths else self.pool
        return pool.submit(call)

    @property
    def overfull(self) -> bool:
        """Tell whether no more may be kept in memory."""
        return self.held > self.max_held

    def hold(self, connection: Connection, size: int) -> None:
        """Note that *connection* keeps *size* bytes in memory.

        When that is too much in all, whoever has kept theirs for longest has to go:
        at a time when others are served, that is a client which is slow.
        """
        before = self.holding.get(connection, 0)
        if size == before:
            return
        self.held += size - before
        if size:
            self.holding[connection] = size
        else:
            del self.holding[connection]
        if self.overfull and size > before:
            self._make_room()

    def _make_room(self) -> None:
        for connection in list(self.holding):
            if not self.overfull:
                return
            connection.expel()

    def failed(self, error: Exception) -> None:
        """Report what the application raised."""
        guard.report("wsgi_application", error)
        if self.on_error is not None:
            self.on_error(error)
