"""Numbers as programs write them: exact, bounded, and with one way to write each."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from mbuzz.server.attribution.dsl.errors import Place, ProgramError, shown

DIGITS: Final = 12
DECIMALS: Final = 6
_UNIT: Final = 10**DECIMALS
_DECIMAL: Final = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")


def check_numeral(text: str, place: Place) -> None:
    """Refuse what is no decimal number, or has more than `DIGITS` digits."""
    matched = _DECIMAL.fullmatch(text)
    if matched is None:
        raise ProgramError(
            "E103",
            place,
            f"{shown(text)} is no number",
            "write digits, with a point and more digits if need be: 7, 0.5",
        )
    digits = len(matched[1]) + len(matched[2] or "")
    if digits > DIGITS:
        raise ProgramError(
            "E103", place, f"a number may have {DIGITS} digits, this one has {digits}"
        )


def decimal(text: str, place: Place) -> Fraction:
    """Return the value of a numeral that `check_numeral` has passed.

    Raises:
        ProgramError: E403 if it has more than `DECIMALS` decimals.
    """
    decimals = len(text.partition(".")[2])
    if decimals > DECIMALS:
        raise ProgramError(
            "E403",
            place,
            f"a number may have {DECIMALS} decimals, {text} has {decimals}",
            "write a fraction, such as 1/3, where decimals do not suffice",
        )
    return Fraction(text)


def is_whole(text: str) -> bool:
    """Tell whether a numeral is an integer as it is written."""
    return "." not in text


def written(value: Fraction) -> str:
    """Return how a value, not negative, is written: as a decimal, or else a fraction.

    Any program's number has at most `DIGITS` digits in either, a percentage too.
    """
    units = value * _UNIT
    if units.denominator != 1:
        return f"{value.numerator}/{value.denominator}"
    whole, rest = divmod(units.numerator, _UNIT)
    return f"{whole}.{rest:0{DECIMALS}}".rstrip("0").rstrip(".")
