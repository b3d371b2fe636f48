"""The connections that are open, which of them are busy, and how they all end."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class OpenConnections:
    """Counts connections in and out; safe to use from any thread."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.stopping = False
        self._busy: dict[socket.socket, bool] = {}
        # Reentrant, so a signal handler may stop the thread that was just admitting.
        self._changed = threading.Condition()

    @property
    def count(self) -> int:
        """Return how many connections are open."""
        return len(self._busy)

    def admit(self, connection: socket.socket) -> bool:
        """Take *connection* in, idle; return whether there was room."""
        with self._changed:
            if len(self._busy) >= self.most:
                return False
            self._busy[connection] = False
            return True

    def set_busy(self, connection: socket.socket, *, busy: bool) -> None:
        """Note whether a request is under way on *connection*."""
        self._busy[connection] = busy

    def close(self, connection: socket.socket) -> None:
        """Close *connection* and forget it."""
        with suppress(OSError):  # the client may be gone
            connection.shutdown(socket.SHUT_WR)
        connection.close()
        with self._changed:
            self._busy.pop(connection, None)
            self._changed.notify_all()

    def stop(self, grace: float) -> None:
        """End the idle connections now, the busy ones within *grace* seconds.

        Their threads close them; this only makes them notice.
        """
        with self._changed:
            self.stopping = True
            idle = [connection for connection, busy in self._busy.items() if not busy]
        for connection in idle:
            with suppress(OSError):  # reading only: a request just read is answered
                connection.shutdown(socket.SHUT_RD)
        with self._changed:
            self._changed.wait_for(lambda: not self._busy, grace)
            late = list(self._busy)
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
