"""A socket whose exchanges end in time, however slowly the other side speaks."""

from __future__ import annotations

import io
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mbuzz.clock import Clock

    Buffer = bytearray | memoryview

_PIECE = 65_536  # bytes that one send may take


class TimedSocket:
    """What `http.client` needs of a socket, under one deadline for all it does.

    A socket's own timeout starts anew with every byte: a server that sends one a
    second, in the headers too, would keep its client for hours.
    """

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._sock = sock
        self._clock = clock
        self.deadline = 0.0  # monotonic seconds

    def limit(self) -> None:
        """Let the next step on the socket take what is left.

        Raises:
            TimeoutError: If nothing is.
        """
        left = self.deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)

    def sendall(self, data: bytes) -> None:
        """Send all of *data*."""
        rest = memoryview(data)
        while rest:
            self.limit()
            rest = rest[self._sock.send(rest[:_PIECE]) :]

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - http.client's
        """Return what answers are read from."""
        return io.BufferedReader(_TimedReader(self, self._sock))

    def close(self) -> None:
        """Close the socket, once what was made from it is closed as well."""
        self._sock.close()


class _TimedReader(io.RawIOBase):
    """The reading side."""

    def __init__(self, timed: TimedSocket, sock: socket.socket) -> None:
        self._timed = timed
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int | None:  # type: ignore[override]
        self._timed.limit()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
