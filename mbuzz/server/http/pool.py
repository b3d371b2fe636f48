"""A few threads for application calls that may block, and their bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mbuzz import guard
from mbuzz.clock import SYSTEM_CLOCK

_LOOK: Final = 60.0  # seconds, for a grace without an end


class Pool:
    """Runs tasks on at most *threads* daemon threads, started when first needed."""

    def __init__(self, threads: int, most_waiting: int) -> None:
        self._most = threads
        self._most_waiting = most_waiting
        self._tasks: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Return how many tasks no thread has taken up."""
        return len(self._tasks)

    def submit(self, task: Callable[[], object], *, again: bool = False) -> bool:
        """Have *task* run soon; return False if there is no room for it.

        There always is for what comes *again*: it had its place in the queue before.
        """
        with self._changed:
            if not again and (
                self._stopping or len(self._tasks) - self._idle >= self._most_waiting
            ):
                return False
            if self._idle <= len(self._tasks) and self._threads < self._most:
                self._start()
            if not self._threads:
                return False
            self._tasks.append(task)
            self._changed.notify()
        return True

    def stop(self, grace: float) -> None:
        """End the threads, and wait up to *grace* seconds for their last tasks."""
        until = SYSTEM_CLOCK.monotonic() + grace
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            while self._threads:
                left = until - SYSTEM_CLOCK.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(left, _LOOK))

    def _start(self) -> None:
        thread = threading.Thread(
            target=self._work, name="mbuzz-http-call", daemon=True
        )
        with suppress(RuntimeError):  # the system has no more threads to give
            thread.start()
            self._threads += 1

    def _work(self) -> None:
        while (task := self._take()) is not None:
            with guard.swallowing("http_pool"):
                task()
            del task  # or an idle thread keeps the last request alive

    def _take(self) -> Callable[[], object] | None:
        with self._changed:
            while not self._tasks:
                if self._stopping:
                    self._threads -= 1
                    self._changed.notify_all()
                    return None
                self._idle += 1
                try:
                    self._changed.wait()
                finally:
                    self._idle -= 1
            return self._tasks.popleft()
