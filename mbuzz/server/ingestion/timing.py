"""When it happened: the client's clock, corrected by what is known about it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from mbuzz.clock import to_ms

_MS_FROM: Final = 10**11
_SKEW_FROM_MS: Final = 30_000
_SKEW_TO_MS: Final = 86_400_000
_FUTURE_MS: Final = 300_000
_DAY_MS: Final = 86_400_000
MAX_EVENT_AGE_DAYS: Final = 30  # unless the account chose fewer
_SLACK_MS: Final = 3_600_000  # a retried event may be a little older than allowed
_CLOCK_FUTURE: Final = frozenset({"clock_future"})


class BadTimeError(ValueError):
    """The time cannot be used; the text says why."""


def parse(value: object) -> int:
    """Return ISO 8601 text, Unix seconds or Unix milliseconds as UTC milliseconds.

    Text without an offset is UTC; a number from 10**11 is milliseconds.

    Raises:
        BadTimeError: If it is none of these.
    """
    try:
        if isinstance(value, str):
            # As most clients write it, `2026-11-20T10:30:00.250Z`.
            if len(value) == 24 and value[13:20:3] == "::." and value[23] == "Z":
                fraction = value[20:23]
                if fraction.isdecimal():
                    return _second(value[:19]) + int(fraction)
            text = value.strip()
            if text[-1:] == "z":  # as good as Z, but not to fromisoformat()
                text = text[:-1] + "Z"
            moment = datetime.fromisoformat(text)
            return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        if isinstance(value, int | float) and not isinstance(value, bool):
            ms = int(value if abs(value) >= _MS_FROM else value * 1000)
            datetime.fromtimestamp(ms / 1000, UTC)
            return ms
    except (ValueError, OverflowError, OSError):
        pass
    raise BadTimeError("timestamp must be a valid ISO8601 datetime")


class Moment(NamedTuple):
    """When something happened, in UTC milliseconds, and what is odd about that.

    `said_ms` is what the client's clock said; None if it said nothing.
    """

    at_ms: int
    said_ms: int | None
    flags: frozenset[str] = frozenset()


@lru_cache(maxsize=4_096)
def _second(text: str) -> int:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


class Timing(NamedTuple):
    """When a batch arrived, its client's error of clock, the account's currency."""

    received_at_ms: int
    skew_ms: int = 0
    currency: str = "USD"
    any_age: bool = False  # for keys that may import
    max_age_days: int = MAX_EVENT_AGE_DAYS

    @classmethod
    def of_batch(
        cls,
        received_at_ms: int,
        sent_at: object,
        currency: str,
        *,
        any_age: bool = False,
        max_age_days: int = MAX_EVENT_AGE_DAYS,
    ) -> Timing:
        """Read the skew off *sent_at*; a missing or wild one corrects nothing.

        Source: Segment and PostHog correct the client's clock in the same way.
        """
        skew = 0
        if sent_at is not None:
            with suppress(BadTimeError):
                skew = received_at_ms - parse(sent_at)
            if not _SKEW_FROM_MS < abs(skew) < _SKEW_TO_MS:
                skew = 0
        return cls(received_at_ms, skew, currency, any_age, max_age_days)

    def resolve(self, value: object) -> Moment:
        """Return when it happened; None is now.

        Raises:
            BadTimeError: If it cannot be read, or is older than is accepted.
        """
        if value is None:
            return Moment(self.received_at_ms, None)
        said_ms = parse(value)
        at_ms = said_ms + self.skew_ms
        if at_ms > self.received_at_ms + _FUTURE_MS:
            return Moment(self.received_at_ms, said_ms, _CLOCK_FUTURE)
        oldest = self.received_at_ms - self.max_age_days * _DAY_MS - _SLACK_MS
        if at_ms < oldest and not self.any_age:
            days = f"{self.max_age_days} day{'s' * (self.max_age_days > 1)}"
            raise BadTimeError(f"too_old: timestamp is more than {days} ago")
        return Moment(at_ms, said_ms)
