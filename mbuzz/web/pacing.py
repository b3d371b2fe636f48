"""How often, and for how long, a response may wait for the backend's cookies."""

from __future__ import annotations

import threading

from mbuzz.buckets import Buckets
from mbuzz.clock import Clock

_RATE = 20.0  # new sessions a second that ask the backend
_BURST = 50
_MOST_WAITERS = 4
_NEAR = 0.01  # seconds; an answer expected later is not waited for
_WEIGHT = 0.2  # of the newest answer in the moving average
_AFTER_A_MISS = 0.075  # seconds, the least that is expected after a wait in vain


class Pacing:
    """A token bucket, a moving average of the backend's latency, and few waiters."""

    def __init__(self, clock: Clock) -> None:
        self._asking = Buckets(clock, _RATE, _BURST, most=1)
        self._lock = threading.Lock()
        self._expected: float | None = None
        self._waiters = 0

    def may_ask(self) -> bool:
        """Tell whether one more session may ask the backend now."""
        return self._asking.spend(None) >= 0.0

    def begin_wait(self, elapsed: float, longest: float) -> float:
        """Return the seconds to wait for an answer asked for *elapsed* seconds ago.

        0 means that it is not worth it; otherwise `end_wait` must follow.
        """
        with self._lock:
            expected = self._expected
            rest = 0.0 if expected is None else max(0.0, expected - elapsed)
            slots = 1 if expected is None else _MOST_WAITERS
            if rest > _NEAR or self._waiters >= slots or longest <= 0:
                return 0.0
            self._waiters += 1
            return longest if expected is None else min(longest, rest + _NEAR)

    def end_wait(self, *, answered: bool) -> None:
        """Give the waiter's place back; a wait in vain makes the next ones shorter."""
        with self._lock:
            self._waiters -= 1
            if not answered:
                expected = self._expected or 0.0
                self._expected = max(1.5 * expected, _AFTER_A_MISS)

    def answered(self, seconds: float) -> None:
        """Note how long an answer took."""
        with self._lock:
            if self._expected is None:
                self._expected = seconds
            else:
                self._expected += _WEIGHT * (seconds - self._expected)
