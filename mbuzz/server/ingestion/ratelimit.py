"""Rate limit: a token bucket per API key, in memory."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from mbuzz.clock import Clock

_MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a key may still do; `reset_after` and `retry_after` are seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset_after: int
    retry_after: int


class RateLimiter:
    """Lets each key make *rate* requests a second, and *burst* at once."""

    def __init__(self, clock: Clock, *, rate: float = 100.0, burst: int = 500) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._lock = threading.Lock()
        self._buckets: dict[int, tuple[float, float]] = {}  # key: (tokens, at)

    def take(self, key_id: int) -> Allowance:
        """Use one request of the key's allowance, if it has any left."""
        now = self._clock.monotonic()
        with self._lock:
            tokens, at = self._buckets.pop(key_id, (float(self._burst), now))
            tokens = min(self._burst, tokens + (now - at) * self._rate)
            allowed = tokens >= 1.0
            tokens -= allowed
            self._buckets[key_id] = (tokens, now)
            if len(self._buckets) > _MOST_BUCKETS:  # the one unused for longest
                del self._buckets[next(iter(self._buckets))]
        return Allowance(
            allowed=allowed,
            limit=self._burst,
            remaining=int(tokens),
            reset_after=math.ceil((self._burst - tokens) / self._rate),
            retry_after=0 if allowed else max(1, math.ceil((1 - tokens) / self._rate)),
        )
