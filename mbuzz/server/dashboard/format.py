"""Numbers as people read them: thousands apart, decimals where they say something."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from mbuzz.server import money

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()

NOT_APPLICABLE = "n/a"  # rather than 0 % of nothing


def whole(number: int) -> str:
    """Return a count, ``12,345``."""
    return f"{number:,}"


def hundredths(count: int, *, decimals: bool) -> str:
    """Return a count in hundredths, ``1,234`` or ``1,234.50``."""
    if decimals:
        return f"{Decimal(count).scaleb(-2):,.2f}"
    return whole(count // 100)


def amount(minor: int, currency: str) -> str:
    """Return an amount of money without its currency, ``1,234.50``."""
    return f"{Decimal(minor).scaleb(-money.exponent(currency)):,f}"


def percentage(part: int, total: int) -> str:
    """Return a share, ``12.3%``."""
    return f"{100 * part / total:.1f}%" if total else NOT_APPLICABLE


def days(first: date, last: date) -> str:
    """Return a period, ``22 Oct to 20 Nov 2026``; a single day stands alone."""
    end = f"{_day(last)} {last.year}"
    if first == last:
        return end
    if first.year == last.year:
        return f"{_day(first)} to {end}"
    return f"{_day(first)} {first.year} to {end}"


def _day(day: date) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}"
