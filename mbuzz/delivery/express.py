"""The express lane: single page views whose answer a response may carry."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from mbuzz import guard
from mbuzz.delivery.queue import Item

_THREADS = 2
_BACKLOG = 16
_IDLE_FOR = 30.0  # seconds before a thread without work ends


class ExpressLane:
    """A few threads that run *work* on items, bounded in number and backlog."""

    def __init__(self, work: Callable[[Item], None]) -> None:
        self._work = work
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
            if not self._idle and self._threads < _THREADS:
                thread = threading.Thread(
                    target=self._run, name="mbuzz-express", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no threads here: shutdown, or uWSGI without them
                    return bool(self._threads)
                self._threads += 1
            self._items.append(item)
            self._changed.notify()
            return True

    def close(self) -> list[Item]:
        """Stop the threads and return what they did not begin."""
        with self._changed:
            self._closed = True
            left = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return left

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._items or self._closed, _IDLE_FOR)
                self._idle -= 1
                if not self._items:
                    self._threads -= 1
                    return
                item = self._items.popleft()
            with guard.swallowing("express delivery"):
                self._work(item)
