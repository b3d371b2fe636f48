"""What comes of work that somebody else does, for whoever waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from mbuzz import guard

R = TypeVar("R")


class Pending(Generic[R]):
    """A result that may not be there yet.

    A `concurrent.futures.Future` with less: one is made for every request, and the
    condition and the queue of each of those cost as much as to parse its JSON.
    """

    __slots__ = (
        "_begun",
        "_callbacks",
        "_cancelled",
        "_done",
        "_lock",
        "error",
        "value",
    )

    def __init__(self) -> None:
        self.value: R | None = None  # these two count once it is done
        self.error: Exception | None = None
        self._lock = threading.Lock()
        self._begun = False
        self._cancelled = False
        self._done = False
        self._callbacks: tuple[Callable[[], object], ...] = ()

    # -- for whoever waits --

    def done(self) -> bool:
        """Tell whether it is there."""
        return self._done

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call *callback* once it is there: on any thread, or at once."""
        with self._lock:
            if not self._done:
                self._callbacks += (callback,)
                return
        callback()

    def result(self, within: float | None = None) -> R:
        """Return it, or raise what went wrong.

        Raises:
            TimeoutError: If it is not there *within* so many seconds.
        """
        if not self._done:
            there = threading.Event()
            self.when_done(there.set)
            if not there.wait(within):
                raise TimeoutError
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]

    def cancel(self) -> None:
        """Have it never begun, unless it was."""
        with self._lock:
            self._cancelled = not self._begun

    # -- for whoever does it --

    def begin(self) -> bool:
        """Begin, maybe once more; return False if nobody wants it any longer."""
        with self._lock:
            self._begun = not self._cancelled
            return self._begun

    def finish(self) -> None:
        """Tell all who wait; `value` or `error` is set."""
        with self._lock:
            self._done = True
            callbacks, self._callbacks = self._callbacks, ()
        for callback in callbacks:
            with guard.swallowing("listener"):  # its own fault, and nobody else's
                callback()
