"""The only reader of time, so that tests and simulations can hand in their own."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Protocol
else:
    Protocol = object


class Clock(Protocol):
    """What the rest of mbuzz asks of a clock."""

    def now_ms(self) -> int:
        """Return the wall-clock time in UTC milliseconds since 1970."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring durations."""


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Return the wall-clock time in UTC milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    # the builtin itself: every call asks for it
    monotonic = staticmethod(time.monotonic)


SYSTEM_CLOCK: Clock = SystemClock()


# What was written last: a busy program asks for the same millisecond again and again.
_second = (-1, "")
_moment = (-1, "")


def iso(ms: int) -> str:
    """Return *ms* (UTC milliseconds) as ISO 8601, ``2026-11-20T10:30:00.250Z``.

    It covers the years 1 to 9999.
    """
    global _second, _moment
    written, text = _moment
    if written == ms:
        return text
    seconds, rest = divmod(ms, 1000)
    known, text = _second
    if seconds != known:
        t = time.gmtime(seconds)
        text = (
            f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
            f"T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
        )
        _second = (seconds, text)
    text = f"{text}.{rest:03d}Z"
    _moment = (ms, text)
    return text


def to_ms(moment: datetime) -> int:
    """Return *moment* in UTC milliseconds; a naive one counts as local time."""
    from datetime import UTC, datetime, timedelta

    if moment.tzinfo is None:
        moment = moment.astimezone()
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
