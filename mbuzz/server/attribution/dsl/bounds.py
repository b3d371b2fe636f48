"""How large and how long the things in a program may be."""

from __future__ import annotations

from collections.abc import Container
from fractions import Fraction
from typing import Final

from mbuzz.server.attribution.dsl.errors import Place, ProgramError
from mbuzz.server.attribution.dsl.numerals import DIGITS, written
from mbuzz.server.attribution.dsl.syntax import ONCE, Duration, Selector

SOURCE_BYTES: Final = 16_384  # as UTF-8
STATEMENTS: Final = 64
TEXT: Final = 128  # characters
CHANNELS: Final = 32  # in one condition
NESTING: Final = 16
LONGEST_MS: Final = 365 * 86_400_000
HIGHEST_WEIGHT: Final = 1000


def check_source(source: str) -> None:
    """Refuse a text that is too large."""
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > SOURCE_BYTES:
        raise too_large()


def too_large() -> ProgramError:
    """Return the error of a text of more than `SOURCE_BYTES`."""
    return ProgramError(
        "E601", Place(1, 1), f"a program may have {SOURCE_BYTES} bytes, this has more"
    )


def check_statement(
    kind: str, place: Place, before: Container[str], index: int
) -> None:
    """Refuse one statement too many, or a second where only one has a meaning.

    *before* are the kinds of those above it, *index* is their number.
    """
    if index >= STATEMENTS:
        raise ProgramError("E602", place, f"a program may have {STATEMENTS} statements")
    if kind in ONCE and kind in before:
        raise ProgramError(
            "E504", place, f"{kind} was given already", "leave one of them out"
        )


def check_nesting(depth: int, place: Place) -> None:
    """Refuse ``not`` and parentheses inside of too many others."""
    if depth >= NESTING:
        raise ProgramError("E604", place, f"conditions may be nested {NESTING} deep")


def check_text(text: str, place: Place) -> str:
    """Return *text* if it is not too long, and says something."""
    if len(text) > TEXT:
        raise ProgramError(
            "E603", place, f"a text may have {TEXT} characters, this has {len(text)}"
        )
    if not text.strip():
        raise ProgramError("E401", place, "the text is empty")
    return text


def check_count(name: str, count: int, place: Place) -> None:
    """Refuse a wrong number of arguments of what is called *name*."""
    most = CHANNELS if name == "channel" else 1
    if not 1 <= count <= most:
        takes = f"1 to {most} names" if most > 1 else "one argument"
        raise ProgramError("E304", place, f"{name} takes {takes}, got {count}")


def check_touch(number: int, place: Place) -> int:
    """Return the number of a touch if there is one of that number."""
    if not 0 < abs(number) < 10**DIGITS:
        raise ProgramError(
            "E401",
            place,
            "there is no touch of this number",
            "count from the start, 1, 2, ..., or from the end, -1, -2, ...",
        )
    return number


def shares_with_nobody(selector: Selector, place: Place) -> ProgramError:
    """Return the error of a way to share at a single touch."""
    return ProgramError(
        "E306",
        place,
        f"{selector.name} is one touch, which shares with nobody",
        "leave the sharing out",
    )


def check_credit(value: Fraction, place: Place) -> Fraction:
    """Return a credit if it is one."""
    if not 0 < value <= 1:
        percent = written(value) if 1 < value <= 100 else "/"
        hint = "" if "/" in percent else f"for a percentage write {percent}%"
        raise ProgramError(
            "E401", place, f"a credit must be above 0 and at most 1{_got(value)}", hint
        )
    return value


def check_weight(value: Fraction, place: Place) -> Fraction:
    """Return a weight if it is one."""
    if not 0 < value <= HIGHEST_WEIGHT:
        hint = "" if value else "to leave touches out, use exclude"
        limit = f"a weight must be above 0 and at most {HIGHEST_WEIGHT}"
        raise ProgramError("E401", place, f"{limit}{_got(value)}", hint)
    return value


def check_duration(duration: Duration, place: Place) -> Duration:
    """Return a duration if it is one: times are known to the millisecond."""
    if not 1 <= duration.milliseconds <= LONGEST_MS:
        raise ProgramError(
            "E401", place, "a duration must be a millisecond to 365 days"
        )
    return duration


def _got(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    return f", got {sign}{written(abs(value))}"
