"""The only maker of ids: time-ordered where a database keeps them, random elsewhere."""

from __future__ import annotations

import os
from os import getpid

_AT_ONCE = 64  # ids whose random parts are drawn by one call: each call takes 10 us

_drawn: list[str] = []
_drawn_by = 0  # the process; a child of a fork may not use what its parent has drawn


def time_ordered(prefix: str, now_ms: int) -> str:
    """Return ``<prefix>_`` and 32 hex digits: 48 bits of *now_ms*, 80 random bits.

    Ids made later sort later, so an index on them grows at its end.
    Source: the layout of UUID version 7, RFC 9562 section 5.7, without its marks.
    """
    return f"{prefix}_{now_ms & 0xFFFF_FFFF_FFFF:012x}{_random_80()}"


def _random_80() -> str:
    """Return 80 random bits as hex digits, which nobody else gets."""
    global _drawn, _drawn_by
    if _drawn_by != getpid():
        _drawn, _drawn_by = [], getpid()
    try:
        return _drawn.pop()
    except IndexError:
        drawn = os.urandom(10 * _AT_ONCE).hex()
        _drawn = [drawn[i : i + 20] for i in range(20, len(drawn), 20)]
        return drawn[:20]


class EventIds:
    """Makes the ids of events, and writes each millisecond down once."""

    __slots__ = ("_stamp",)

    def __init__(self) -> None:
        self._stamp = (-1, "")

    def event_id(self, now_ms: int) -> str:
        """Return an event's id; see `event_id`."""
        made, stamp = self._stamp
        if made != now_ms:
            stamp = f"evt_{now_ms & 0xFFFF_FFFF_FFFF:012x}"
            self._stamp = (now_ms, stamp)
        return stamp + _random_80()


def event_id(now_ms: int) -> str:
    """Return an event's id, which is also its idempotency key."""
    return time_ordered("evt", now_ms)


def conversion_id(now_ms: int) -> str:
    """Return a conversion's id, which is also its idempotency key."""
    return time_ordered("conv", now_ms)


def visitor_id() -> str:
    """Return 64 random hex digits, the value of the visitor cookie."""
    return os.urandom(32).hex()


def session_id() -> str:
    """Return 32 random hex digits, the value of the session cookie."""
    return os.urandom(16).hex()


def token(size: int = 24) -> str:
    """Return *size* random bytes as hex, for keys and log-ins."""
    return os.urandom(size).hex()
