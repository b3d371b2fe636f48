"""The only reader of time, so that tests and simulations can hand in their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the rest of mbuzz asks of a clock."""

    def now_ms(self) -> int:
        """Return the wall-clock time in UTC milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring durations."""
        ...


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Return the wall-clock time in UTC milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring durations."""
        return time.monotonic()


SYSTEM_CLOCK: Clock = SystemClock()


def iso(ms: int) -> str:
    """Return *ms* (UTC milliseconds) as ISO 8601, ``2026-11-20T10:30:00.250Z``."""
    seconds, rest = divmod(ms, 1000)
    moment = _EPOCH + timedelta(seconds=seconds)
    # Not strftime: its %Y has no leading zeros on some systems.
    return f"{moment.replace(tzinfo=None).isoformat()}.{rest:03d}Z"


def to_ms(moment: datetime) -> int:
    """Return *moment* in UTC milliseconds; a naive one counts as local time."""
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return (moment - _EPOCH) // timedelta(milliseconds=1)
