"""One thread for all connections: what is ready, what is due, what others want."""

from __future__ import annotations

import selectors
import socket
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from mbuzz import guard
from mbuzz.clock import SYSTEM_CLOCK, Clock
from mbuzz.server.http.deadlines import Deadlines, Timed

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE

# A signal may arrive at another thread, and Python runs its handler on the main one,
# but does not wake it for that: so the loop comes up for air now and then.
_LONGEST_SLEEP: Final = 0.5  # seconds
_ROUND: Final = 0.02  # seconds of a round until deadlines and calls are looked at


class Handler(Timed):
    """What the loop calls; all methods run on the loop's thread."""

    __slots__ = ()

    @abstractmethod
    def handle(self, events: int) -> None:
        """Do what the socket is ready for."""

    @abstractmethod
    def expire(self) -> None:
        """Notice that the deadline is over."""

    @abstractmethod
    def abandon(self) -> None:
        """End after a mistake in one of the other methods."""


class Loop:
    """Watches sockets and deadlines; other threads hand it calls."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self.deadlines = Deadlines()
        self.now = clock.monotonic()  # of this round; asked for once
        self._calls: deque[tuple[Handler, Callable[..., object], tuple[Any, ...]]]
        self._calls = deque()
        self._asleep = False
        self.after_round: Callable[[], bool] | None = None  # True: again, soon
        self._again = False
        self._long: deque[tuple[Handler, Callable[..., object], tuple[Any, ...]]]
        self._long = deque()
        self._ready: deque[tuple[selectors.SelectorKey, int]] = deque()
        self._longest_round = 0.0  # seconds, since somebody asked
        self._current: Handler | None = None
        self._alarm, self._bell = socket.socketpair()
        for end in (self._alarm, self._bell):
            end.settimeout(0)
        self._selector.register(self._alarm, READ, _Alarm(self._alarm))

    def watch(
        self, raw: socket.socket, handler: Handler, before: int, events: int
    ) -> None:
        """Call *handler* when *raw* is ready for *events*, no longer for *before*."""
        if before == events:
            return
        if not events:
            self._selector.unregister(raw)
        elif before:
            self._selector.modify(raw, events, handler)
        else:
            self._selector.register(raw, events, handler)

    def set_deadline(self, handler: Handler, seconds: float) -> None:
        """Call ``handler.expire`` in so many seconds; an earlier deadline is over."""
        self.deadlines.set(handler, self.now + seconds)

    def call_soon(
        self, handler: Handler, function: Callable[..., object], *args: object
    ) -> None:
        """Run *function* on the loop's thread; to be called from any.

        The first caller that finds the loop asleep wakes it, with one byte for all.
        Both sides write before they look, so one of them always sees the other.
        """
        self._calls.append((handler, function, args))
        if self._asleep:
            self.wake()

    def call_long(
        self, handler: Handler, function: Callable[..., object], *args: object
    ) -> None:
        """Run *function*, which takes ms, after what is short; from the loop's thread.

        So whoever asks for little is seen to before all who ask for much.
        """
        self._long.append((handler, function, args))

    def wake(self) -> None:
        """End the loop's sleep."""
        self._asleep = False
        with suppress(OSError):  # full of bytes that wake, or over
            self._bell.send(b"\0")

    def turn(self, longest: float = _LONGEST_SLEEP) -> None:
        """Do what is to be done, after at most *longest* seconds of waiting for it."""
        guard.attempt(lambda: self._turn(longest), self._failed)

    def take_in(self) -> None:
        """Do all that is ready by now, however many rounds that takes."""
        for _ in range(2):  # what was found before may be left
            self.turn(0)
            while self._ready:
                self.turn(0)

    def _turn(self, longest: float) -> None:
        if not self._ready:
            self._select(longest)
        clock = self._clock
        self.now = clock.monotonic()
        while self._ready:
            key, events = self._ready.popleft()
            self._current = handler = key.data
            handler.handle(events)
            if clock.monotonic() - self.now >= _ROUND:
                break
        calls = self._calls
        for _ in range(len(calls)):
            self._current, function, args = calls.popleft()
            function(*args)
        for thing in self.deadlines.due(self.now):
            if isinstance(thing, Handler):
                self._current = thing
                thing.expire()
        self._do_long()
        self._current = None
        if self.after_round is not None:
            self._again = self.after_round()
        spent = clock.monotonic() - self.now
        if spent > self._longest_round:
            self._longest_round = spent

    def _do_long(self) -> None:
        """Do one thing that takes ms, and more if none of those done is left over."""
        until = self._clock.monotonic() + _ROUND
        while self._long:
            self._current, function, args = self._long.popleft()
            function(*args)
            if self._again or self._clock.monotonic() >= until:
                break

    def _select(self, longest: float) -> None:
        """Wait until something is ready or due."""
        wait = self.deadlines.first() - self._clock.monotonic()
        wait = max(0.0, min(wait, longest, _LONGEST_SLEEP))
        self._asleep = True
        busy = self._calls or self._long or self._again
        ready = self._selector.select(0 if busy else wait)
        self._asleep = False
        self._ready.extend(ready)

    def lag(self) -> float:
        """Return the seconds that the longest round took since this was last asked.

        For so long everybody else had to wait.
        """
        longest, self._longest_round = self._longest_round, 0.0
        return longest

    def _failed(self, error: Exception) -> None:
        """Give up the connection it happened on; what else was ready, still is."""
        guard.report("http_loop", error)
        if self._current is not None:
            guard.attempt(self._current.abandon, _nothing)
            self._current = None
        if self.after_round is not None:  # what the others began need not wait
            self._again = guard.attempt(self.after_round, _no)

    def close(self) -> None:
        """Run what others still want, and let the descriptors go."""
        while self._calls:
            _, function, args = self._calls.popleft()
            guard.attempt(partial(function, *args), _nothing)
        self._selector.close()
        self._alarm.close()
        self._bell.close()


def _no(_: Exception) -> bool:
    return False


def _nothing(_: Exception) -> None:
    """Leave it at that."""


class _Alarm(Handler):
    """The end of the wake-up pair that the loop hears."""

    __slots__ = ("_raw",)

    def __init__(self, raw: socket.socket) -> None:
        super().__init__()
        self._raw = raw

    def handle(self, events: int) -> None:  # noqa: ARG002 - there is one
        with suppress(BlockingIOError):
            self._raw.recv(4096)

    def expire(self) -> None:
        """Never due."""

    def abandon(self) -> None:
        """It cannot fail."""
