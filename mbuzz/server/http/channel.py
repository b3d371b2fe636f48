"""A connection's socket: what it is watched for, and what waits to leave on it."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mbuzz.server.http.loop import READ, WRITE, Handler, Loop

if TYPE_CHECKING:
    from mbuzz.server.http.connection import Connection

_RECEIVE: Final = 65_536  # bytes read at a time
_PIECE: Final = 262_144  # bytes that must leave within one timeout
_AT_ONCE: Final = 262_144  # bytes sent before other connections get their turn
_UNSENT: Final = 131_072  # bytes the system takes beyond what the client reads
_MUCH: Final = 262_144  # waiting bytes at which an application is told to wait
_LITTLE: Final = 65_536  # ... and at which it goes on
# Without it, Linux takes 2.8 MB at a time for a client that reads none of them.
_LOW_WATER: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close, and forget what waits
_LOOK: Final = 1.0  # seconds between two looks of a waiting thread at who is gone


class Channel:
    """Reads and writes without waiting; used on the loop's thread only."""

    __slots__ = (
        "_events",
        "_handler",
        "_loop",
        "_mark",
        "_raw",
        "_resume",
        "_waiting",
        "gone",
        "sent",
        "size",
    )

    def __init__(self, raw: socket.socket, loop: Loop, handler: Handler) -> None:
        self._raw = raw
        self._loop = loop
        self._handler = handler
        self._events = 0
        self._waiting: deque[memoryview] = deque()
        self._mark = 0
        self._resume: Callable[[], object] | None = None
        self.size = 0  # bytes that wait to leave
        self.sent = 0  # bytes that left
        self.gone = False  # closed; looked at from any thread
        raw.settimeout(0)
        with suppress(OSError):  # a client already gone is noticed when reading
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _LOW_WATER is not None:
                raw.setsockopt(socket.IPPROTO_TCP, _LOW_WATER, _UNSENT)

    def read(self) -> bytes | None:
        """Return what has arrived, nothing at the end, None if it is still to come.

        Raises:
            OSError: If the client is gone.
        """
        try:
            return self._raw.recv(_RECEIVE)
        except (BlockingIOError, InterruptedError):
            return None

    def resume_reading(self) -> None:
        """Have the handler called when something arrives."""
        self._watch(self._events | READ)

    def pause_reading(self) -> None:
        """Leave with the system what arrives."""
        self._watch(self._events & ~READ)

    def send(self, data: bytes) -> None:
        """Send *data* as far as the client takes it now, the rest when it does.

        Raises:
            OSError: If the client is gone.
        """
        done = 0
        if not self.size:
            with suppress(BlockingIOError, InterruptedError):
                done = self._raw.send(memoryview(data)[:_AT_ONCE])
            self.sent += done
        if done < len(data):
            self._waiting.append(memoryview(data)[done:])
            self.size += len(data) - done
            self._watch(self._events | WRITE)

    def flush(self) -> None:
        """Send what waits.

        Raises:
            OSError: If the client is gone.
        """
        with suppress(BlockingIOError, InterruptedError):
            done = self._raw.send(self._waiting[0][:_AT_ONCE])
            self.sent += done
            self.size -= done
            if done < len(self._waiting[0]):
                self._waiting[0] = self._waiting[0][done:]
            else:
                self._waiting.popleft()
        if not self.size:
            self._watch(self._events & ~WRITE)
        if self.size <= _LITTLE:
            self._go_on()

    def moved(self) -> bool:
        """Tell whether enough has left since this was last true."""
        if self.sent - self._mark < _PIECE:
            return False
        self._mark = self.sent
        return True

    def when_room(self, resume: Callable[[], object]) -> None:
        """Call *resume* once, when little waits to leave or the client is gone."""
        self._resume = resume
        if self.gone or self.size <= _LITTLE:
            self._go_on()

    def finish(self) -> None:
        """Tell the client that this was all, and go on reading."""
        with suppress(OSError):  # it may be gone
            self._raw.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let the socket go.

        A client that did not take its answer gets no more of it, or the system would
        go on trying for minutes.
        """
        self.gone = True
        self._watch(0)
        if self.size:
            with suppress(OSError):
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            self.finish()
        self._raw.close()
        self._waiting.clear()
        self.size = 0
        self._go_on()

    def _go_on(self) -> None:
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def _watch(self, events: int) -> None:
        if events != self._events:
            self._loop.watch(self._raw, self._handler, self._events, events)
            self._events = events


class Way:
    """A channel as a call sees it that runs on another thread."""

    def __init__(self, channel: Channel, connection: Connection, loop: Loop) -> None:
        self._channel = channel
        self._connection = connection
        self._loop = loop
        self._given = channel.sent  # bytes handed over; only one thread at a time does

    @property
    def full(self) -> bool:
        """Tell whether enough waits to leave for now."""
        return self._given - self._channel.sent > _MUCH

    @property
    def gone(self) -> bool:
        """Tell whether nobody reads this any more."""
        return self._channel.gone

    def put(self, data: bytes) -> None:
        """Send *data* after what was put before."""
        self._given += len(data)
        self._soon(self._connection.put, data)

    def done(self, *, keep: bool) -> None:
        """Say that the answer is whole, or given up."""
        self._soon(self._connection.done, keep)

    def later(self, resume: Callable[[], object]) -> None:
        """Call *resume* once when there is room, or the client is gone."""
        self._soon(self._channel.when_room, resume)

    def wait(self) -> None:
        """Return when there is room, or the client is gone."""
        event = threading.Event()
        self.later(event.set)
        while not (event.wait(_LOOK) or self.gone):
            pass

    def _soon(self, function: Callable[[Any], object], argument: object) -> None:
        self._loop.call_soon(self._connection, function, argument)
