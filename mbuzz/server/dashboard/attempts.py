"""How often somebody may try to log in."""

from __future__ import annotations

import hashlib
import math
import threading
from typing import Final

from mbuzz.clock import Clock

_AT_ONCE: Final = 10  # attempts
_EVERY: Final = 60.0  # seconds until there is another one
_MOST_KNOWN: Final = 10_000


class Attempts:
    """Allows ten attempts, and then one a minute, per e-mail and address.

    Counting by e-mail alone would let anybody lock anybody else out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # When all attempts will be there again. Source: the leaky bucket as a meter,
        # known as GCRA, which needs one number for each.
        self._whole_at: dict[bytes, float] = {}

    def take(self, email: str, address: str) -> int:
        """Use one attempt and return 0, or return the seconds until there is one."""
        # A digest, so that the addresses people type are not kept.
        who = hashlib.sha256(f"{email.casefold()}\0{address}".encode()).digest()
        now = self._clock.monotonic()
        with self._lock:
            whole_at = max(self._whole_at.pop(who, now), now)
            wait = whole_at - (_AT_ONCE - 1) * _EVERY - now
            self._whole_at[who] = whole_at if wait > 0 else whole_at + _EVERY
            if len(self._whole_at) > _MOST_KNOWN:  # the one unused for longest
                del self._whole_at[next(iter(self._whole_at))]
        return max(0, math.ceil(wait))
