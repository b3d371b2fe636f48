"""What an account may choose about conversions: lookback windows, and what counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

T = TypeVar("T")

LOOKBACK_DAYS: Final = 90
ALL_TIME: Final = 0  # as a lookback: no limit
LOOKBACKS: Final = (1, 7, 14, 30, 60, LOOKBACK_DAYS, 180, 365)
EVERY: Final = "every"
ONCE_PER_IDENTITY: Final = "once_per_identity"
ONCE_PER_SESSION: Final = "once_per_session"
COUNTINGS: Final = (EVERY, ONCE_PER_IDENTITY, ONCE_PER_SESSION)
_MOST_TYPES: Final = 100


def read_lookback(given: object) -> int:
    """Return a lookback in days as tracking works with it; ``"all"`` is no limit.

    Raises:
        ValueError: If it is none.
    """
    if given == "all":
        return ALL_TIME
    if isinstance(given, int) and not isinstance(given, bool) and given in LOOKBACKS:
        return given
    days = ", ".join(map(str, LOOKBACKS))
    raise ValueError(f'a lookback must be {days} (days) or "all", got {given!r}')


def read_counting(given: object) -> str:
    """Return which of a person's conversions of a type count.

    Raises:
        ValueError: If it is no such word.
    """
    if isinstance(given, str) and given in COUNTINGS:
        return given
    raise ValueError(f"counting must be one of {', '.join(COUNTINGS)}, got {given!r}")


def by_type(read: Callable[[object], T]) -> Callable[[object], Mapping[str, T]]:
    """Return what reads a setting by type of conversion; *read* reads one value.

    It raises ValueError for what is no such setting, or has too many types.
    """

    def read_all(given: object) -> Mapping[str, T]:
        if not isinstance(given, dict) or len(given) > _MOST_TYPES:
            raise ValueError(
                "this is chosen by type of conversion: an object of at most "
                f'{_MOST_TYPES} types, such as {{"purchase": ...}}'
            )
        return MappingProxyType({str(k): read(value) for k, value in given.items()})

    return read_all


# By name: what reads it, and what it is if nobody chose.
CONVERSION_SETTINGS: Final[Mapping[str, tuple[Callable[[object], object], object]]] = (
    MappingProxyType(
        {
            "lookback_days": (read_lookback, LOOKBACK_DAYS),
            "lookback_by_type": (by_type(read_lookback), {}),
            "counting": (by_type(read_counting), {}),
        }
    )
)
