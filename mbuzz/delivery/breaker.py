"""Circuit breaker: while the API keeps failing, nobody waits for it."""

from __future__ import annotations

from mbuzz.clock import Clock

FAILURES_TO_OPEN = 5  # in a row
OPEN_FOR = 30.0  # seconds


class Breaker:
    """Opens after failures in a row; after `OPEN_FOR` the next try decides."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._open_until = 0.0

    @property
    def open(self) -> bool:
        """Tell whether waiting for an answer is pointless now."""
        return (
            self._failures >= FAILURES_TO_OPEN
            and self._clock.monotonic() < self._open_until
        )

    def succeeded(self) -> None:
        """Note an answer."""
        self._failures = 0

    def failed(self) -> None:
        """Note a failure to answer."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._open_until = self._clock.monotonic() + OPEN_FOR
