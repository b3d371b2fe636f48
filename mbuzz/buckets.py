"""Token buckets by key: how often something may be done, and at once."""

from __future__ import annotations

import threading
from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from mbuzz.clock import Clock

# Seconds added to every wait: who waits just that long is not refused because the sum
# of two floats came out a little short.
_ROUNDING = 1e-6


class Buckets:
    """Lets each key do something *rate* times a second, and *burst* times at once.

    Any number of threads may ask. At most *most* keys are known; the one unused for
    longest is forgotten first, and may begin anew. Who can make up keys, such as
    addresses of IPv6, can use that: let the key be the network.

    Raises:
        ValueError: If *rate* is not more than 0, or *burst* or *most* is less than 1.
    """

    def __init__(
        self, clock: Clock, rate: float, burst: int, most: int = 10_000
    ) -> None:
        if not rate > 0 or burst < 1 or most < 1:
            raise ValueError(
                "rate must be more than 0, burst and most at least 1, got "
                f"{rate!r}, {burst!r} and {most!r}"
            )
        self._clock = clock
        self._rate = rate
        self._burst = float(burst)
        self._most = most
        self._lock = threading.Lock()
        # Key: (tokens, at). A dict would be slow at the limit: its first item is
        # searched for among all that were deleted before it.
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable) -> float:
        """Use one token of *key*; return 0.0, or the seconds until there is one."""
        left = self.spend(key)
        return 0.0 if left >= 0.0 else -left / self._rate + _ROUNDING

    def spend(self, key: Hashable) -> float:
        """Use one token of *key*; return how many are left.

        Less than 0 is refused: so much of a token is missing, and none was used.
        """
        with self._lock:
            now = self._clock.monotonic()  # in here, so that threads come in order
            bucket = self._buckets.get(key)
            if bucket is None:
                left = self._burst - 1.0
            else:
                tokens, at = bucket
                left = min(self._burst, tokens + (now - at) * self._rate) - 1.0
                self._buckets.move_to_end(key)
            if left >= 0.0:  # who is refused changes nothing, so no error adds up
                self._buckets[key] = (left, now)
                if len(self._buckets) > self._most:
                    self._buckets.popitem(last=False)
            return left

    def __len__(self) -> int:
        """Return how many keys are known."""
        return len(self._buckets)
