"""Circuit breaker: while the API keeps failing, nobody waits for it."""

from __future__ import annotations

from mbuzz.delivery.retry import chance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mbuzz.clock import Clock

FAILURES_TO_OPEN = 5  # in a row
OPEN_FOR = 30.0  # seconds; each time up to a quarter less, or clients probe together


class Breaker:
    """Opens after failures in a row; after about `OPEN_FOR` the next try decides."""

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

    @property
    def state(self) -> str:
        """Return ``closed``, ``open``, or ``half_open``: the next try decides."""
        if self._failures < FAILURES_TO_OPEN:
            return "closed"
        return "open" if self.open else "half_open"

    def succeeded(self) -> None:
        """Note an answer."""
        self._failures = 0

    def failed(self) -> None:
        """Note a failure to answer."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            pause = OPEN_FOR * (1 - chance() / 4)
            self._open_until = self._clock.monotonic() + pause
