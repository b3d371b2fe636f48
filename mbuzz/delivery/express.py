"""The express lane: single page views whose answer a response may carry."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from mbuzz import guard
from mbuzz.delivery.queue import Item
from mbuzz.delivery.transport import Transport

_THREADS = 2
_BACKLOG = 16
_IDLE_FOR = 30.0  # seconds before a thread without work ends


class ExpressLane:
    """A few threads that run *work* on items, bounded in number and backlog.

    Each has a connection of its own, made by *connect* when it is first asked for.
    """

    def __init__(
        self,
        work: Callable[[Item, Callable[[], Transport]], None],
        connect: Callable[[], Transport],
    ) -> None:
        self._work = work
        self._connect = connect
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def offer(self, item: Item) -> bool:
        """Take *item*, or return False: there is no room, or it is too late."""
        with self._changed:
            if self._closed or len(self._items) >= _BACKLOG:
                return False
            more = self._idle <= len(self._items) and self._threads < _THREADS
            self._threads += more
        if more:
            self._start_thread()
        with self._changed:
            if self._closed or not self._threads:
                return False
            self._items.append(item)
            self._changed.notify()
            return True

    def _start_thread(self) -> None:
        # Not under the lock: a finalizer in the new thread may need it to get going.
        thread = threading.Thread(target=self._run, name="mbuzz-express", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no threads here: shutdown, or uWSGI without them
            with self._changed:
                self._threads -= 1

    def close(self) -> list[Item]:
        """Stop the threads and return what they did not begin."""
        with self._changed:
            self._closed = True
            left = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return left

    def _run(self) -> None:
        own: list[Transport] = []

        def transport() -> Transport:
            if not own:
                own.append(self._connect())
            return own[0]

        while (item := self._next()) is not None:
            with guard.swallowing("express delivery"):
                self._work(item, transport)
        with guard.swallowing("express delivery"):
            for connection in own:
                connection.close()

    def _next(self) -> Item | None:
        """Wait for work; None if this thread is to end."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._items or self._closed, _IDLE_FOR)
            self._idle -= 1
            if self._items:
                return self._items.popleft()
            self._threads -= 1
            return None
