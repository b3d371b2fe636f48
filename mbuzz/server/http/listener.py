"""The listening socket: lets clients in, up to a number, and turns others away."""

from __future__ import annotations

import logging
import socket
from collections import deque
from typing import TYPE_CHECKING, Final

from mbuzz.server.http.answer import error_answer
from mbuzz.server.http.connection import Connection
from mbuzz.server.http.loop import READ, Handler

if TYPE_CHECKING:
    from mbuzz.server.http.service import Service

_logger = logging.getLogger("mbuzz.server")

_BACKLOG: Final = 4096  # the system may allow fewer
_AT_ONCE: Final = 64  # clients let in before others get their turn
_PAUSE: Final = 0.1  # seconds after the system could not accept
_MAX_LEAVING: Final = 64  # turned-away clients that may read why


class Listener(Handler):
    """Accepts connections for *service* once it is opened."""

    __slots__ = ("_leaving", "_listening", "_most", "_service", "raw")

    def __init__(self, raw: socket.socket, most: int, service: Service) -> None:
        super().__init__()
        self.raw = raw
        self._most = most
        self._service = service
        self._listening = False
        self._leaving: deque[Connection] = deque()

    @property
    def leaving(self) -> int:
        """Return how many turned-away clients still may read why."""
        return len(self._leaving)

    def open(self) -> None:
        """Begin to let clients in."""
        self.raw.settimeout(0)
        self._listen(READ)

    def handle(self, events: int) -> None:  # noqa: ARG002 - there is one
        """Let in whoever waits."""
        if not self._listening:
            return
        try:
            for _ in range(_AT_ONCE):
                raw, address = self.raw.accept()
                connection = Connection(raw, address, self._service)
                if len(self._service.open) < self._most:
                    connection.open()
                else:
                    self._turn_away(connection)
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:
            # Out of file descriptors, the next try would fail at once: do not spin.
            _logger.warning("cannot accept (error=%s)", error.strerror)
            self._listen(0)
            self._service.loop.set_deadline(self, _PAUSE)

    def expire(self) -> None:
        """Try again."""
        self._listen(READ)

    def abandon(self) -> None:
        """Go on: the mistake was one client's."""

    def close(self) -> None:
        """Let nobody in any more, and the turned-away go."""
        self._listen(0)
        self._service.loop.deadlines.forget(self)
        self.raw.close()
        while self._leaving:
            self._leaving.popleft().close()

    def _listen(self, events: int) -> None:
        before = READ if self._listening else 0
        self._service.loop.watch(self.raw, self, before, events)
        self._listening = bool(events)

    def _turn_away(self, connection: Connection) -> None:
        _logger.debug("turned away (connections=%d)", self._most)
        connection.turn_away(
            error_answer(
                503,
                f"All {self._most} connections are in use.",
                b"Retry-After: 1\r\n",
            )
        )
        self._leaving.append(connection)
        while len(self._leaving) > _MAX_LEAVING:
            self._leaving.popleft().close()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: If the address cannot be listened on.
    """
    ipv6 = ":" in host
    # Unlike a plain bind it lets no other process take the port over on Windows.
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if ipv6 else socket.AF_INET,
        backlog=_BACKLOG,
        dualstack_ipv6=ipv6 and socket.has_dualstack_ipv6(),
    )
