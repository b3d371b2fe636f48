"""Names and amounts as lines of a file have them, checked once and kept."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Final

from mbuzz.server.model import UNATTRIBUTED

# What a report calls conversions without a touch; no channel may be called that.
UNATTRIBUTED_ROW: Final = f"({UNATTRIBUTED})"
_MOST: Final = 10**12
_MILLIONTH: Final = Decimal("0.000001")
_LONGEST: Final = 255  # characters of a name
_SHOWN: Final = 40


class LineError(ValueError):
    """A line cannot be read; the text says what is wrong, and what to do."""


class Channels(dict[object, str]):
    """The channels of a file, each name checked when it is first met.

    Looking up a name returns the one text that all journeys share.

    Raises:
        LineError: If a value is no name of a channel.
    """

    def __missing__(self, name: object) -> str:
        if not isinstance(name, str):
            raise LineError(f"a channel must be text, got {shown(name)}")
        if not name or name.isspace():
            raise LineError("a channel has no name; leave the touch out, or name it")
        check_name(name, "a channel")
        if name in (UNATTRIBUTED, UNATTRIBUTED_ROW):
            raise LineError(
                f"{shown(name)} is what conversions without a touch are called; "
                "give the channel another name, or leave such touches out"
            )
        self[name] = name
        return name


def check_name(name: str, what: str) -> None:
    """Refuse what no table could show.

    Raises:
        LineError: If it is very long, or has characters that are not printable.
    """
    if len(name) > _LONGEST or not name.isprintable():
        raise LineError(
            f"{what} must be at most {_LONGEST} printable characters, got {shown(name)}"
        )


def millionths(value: object, what: str) -> int:
    """Return an amount, a number or decimal text, in millionths of the currency unit.

    Raises:
        LineError: If it is none, has more than six decimals, or is beyond 10**12.
    """
    amount = _decimal(value, what)
    rounded = amount.quantize(_MILLIONTH)
    if rounded != amount:
        raise LineError(
            f"{what} may have at most six decimals, got {shown(value)}; round it"
        )
    return int(rounded.scaleb(6))


def count(value: object, what: str) -> int:
    """Return how many; programs write ``3.0`` and ``1e+05`` for that, too.

    Raises:
        LineError: If it is no whole number from 0 to 10**12.
    """
    number = _decimal(value, what)
    if number < 0 or number != number.to_integral_value():
        raise LineError(f"{what} must be a whole number, 0 or more, got {shown(value)}")
    return int(number)


def _decimal(value: object, what: str) -> Decimal:
    readable = isinstance(value, int | float | str) and not isinstance(value, bool)
    try:
        number = Decimal(str(value).strip()) if readable else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if number.is_nan():
        raise LineError(f'{what} must be a number, such as "99.90", got {shown(value)}')
    if not -_MOST <= number <= _MOST:
        raise LineError(f"{what} must be at most {_MOST}, got {shown(value)}")
    return number


def shown(value: object) -> str:
    """Return *value* as an error may show it, cut where it is long."""
    words = value is None or isinstance(value, bool)
    text = json.dumps(value) if words else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
