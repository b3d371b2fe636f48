"""Which days a report is about: days of the account's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from mbuzz.clock import to_ms

DEFAULT_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Whole days from *first* to *last*, both included."""

    first: date
    last: date
    timezone: str

    @classmethod
    def parse(
        cls, first: str | None, last: str | None, timezone: str, now_ms: int
    ) -> Period:
        """Read two ISO dates; what is left out makes the 30 days up to today.

        Raises:
            ValueError: If a date cannot be read, or they are in the wrong order.
        """
        zone = ZoneInfo(timezone)
        today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
        end = _read("to", last) or today
        begin = _read("from", first) or end - timedelta(days=DEFAULT_DAYS - 1)
        if begin > end:
            raise ValueError(f"from must not be after to, got {begin} and {end}")
        return cls(first=begin, last=end, timezone=timezone)

    @property
    def from_ms(self) -> int:
        """Return the first moment of the period."""
        return self._midnight(self.first)

    @property
    def to_ms(self) -> int:
        """Return the first moment after the period."""
        return self._midnight(self.last + timedelta(days=1))

    def _midnight(self, day: date) -> int:
        zone = ZoneInfo(self.timezone)
        return to_ms(datetime(day.year, day.month, day.day, tzinfo=zone))


def _read(name: str, text: str | None) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{name} must be a date such as 2026-11-20, got {text!r}"
        ) from None
    if not 1971 <= day.year <= 9998:
        raise ValueError(
            f"{name} must be a date of the years 1971 to 9998, got {text!r}"
        )
    return day
