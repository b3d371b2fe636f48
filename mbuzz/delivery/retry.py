"""What an answer means for a batch, and how long to wait before the next try."""

from __future__ import annotations

import os

from mbuzz.clock import to_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_BASE = 0.5  # seconds
_CAP = 60.0
_LONGEST_RETRY_AFTER = 300.0
_RETRYABLE = frozenset({408, 425, 429})

# What to do with a batch after an answer.
DELIVERED = "delivered"
RETRY = "retry"
SPLIT = "split"
REJECTED = "rejected"


def judge(status: int) -> str:
    """Return what the HTTP *status* means for the events that were sent."""
    if 200 <= status < 300:
        return DELIVERED
    if status == 413:
        return SPLIT
    if status in _RETRYABLE or status >= 500:
        return RETRY
    return REJECTED


def chance() -> float:
    """Return a random number from [0, 1); for jitter, so that clients part ways."""
    return int.from_bytes(os.urandom(6), "big") / 2**48


def delay(attempt: int, chance: Callable[[], float] = chance) -> float:
    """Return seconds before try *attempt* (from 1): full jitter under a growing cap.

    Source: "full jitter" of the AWS Architecture Blog, Exponential Backoff And Jitter.
    """
    return chance() * min(_CAP, _BASE * 2.0 ** min(attempt, 20))


def retry_after(header: str | None, now_ms: int) -> float:
    """Return the seconds that a `Retry-After` header asks for, in either form.

    0 where there is none or it cannot be read; 5 minutes at most.
    """
    if not header:
        return 0.0
    text = header.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])  # a longer one is as long as it gets
    else:
        try:
            seconds = (to_ms(_moment(text)) - now_ms) / 1000
        except (ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)


def _moment(text: str) -> datetime:
    # here, since few servers write a date and the module is dear
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
