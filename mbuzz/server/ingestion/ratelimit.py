"""Rate limit: a token bucket per API key, in memory."""

from __future__ import annotations

import math
from typing import NamedTuple

from mbuzz.buckets import Buckets
from mbuzz.clock import Clock


class Allowance(NamedTuple):
    """What a key may still do; `reset_after` and `retry_after` are seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset_after: int
    retry_after: int


class RateLimiter:
    """Lets each key make *rate* requests a second, and *burst* at once."""

    def __init__(self, clock: Clock, *, rate: float = 100.0, burst: int = 500) -> None:
        self._buckets = Buckets(clock, rate, burst)
        self._rate = rate
        self._burst = burst

    def take(self, key_id: int) -> Allowance:
        """Use one request of the key's allowance, if it has any left."""
        left = self._buckets.spend(key_id)
        allowed = left >= 0.0
        tokens = left if allowed else left + 1.0
        return Allowance(
            allowed=allowed,
            limit=self._burst,
            remaining=int(tokens),
            reset_after=math.ceil((self._burst - tokens) / self._rate),
            retry_after=0 if allowed else max(1, math.ceil(-left / self._rate)),
        )
