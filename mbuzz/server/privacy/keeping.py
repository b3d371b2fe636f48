"""How long an account keeps things; what it may choose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

LEAST_DAYS: Final = 31  # a repeat may come for 30 days: its first time must be known
_MOST_DAYS: Final = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days that things are kept; 0 is for ever."""

    events_days: int = 426  # 14 months
    sessions_days: int = 1_157  # 38 months
    bots_days: int = 30
    conversions_days: int = 0
    audit_days: int = 731  # 24 months


DEFAULT: Final = Retention()
_NAMES: Final = tuple(field.name for field in fields(Retention))


def check_retention(value: object) -> Retention:
    """Return the retention that an account chooses.

    Raises:
        ValueError: If it cannot be; the text says why.
    """
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - what is wrong with a setting, not with code
            'retention must be days by name, such as {"events_days": 90}'
        )
    for name, days in value.items():
        if name not in _NAMES:
            raise ValueError(
                f"retention has {', '.join(_NAMES)}, but not {str(name)[:40]!r}"
            )
        if type(days) is not int or not 0 <= days <= _MOST_DAYS:
            raise ValueError(
                f"retention's {name} must be whole days from 0 (for ever) to "
                f"{_MOST_DAYS}, not {str(days)[:40]}"
            )
    chosen = Retention(**value)
    if 0 < chosen.events_days < LEAST_DAYS:
        raise ValueError(
            f"retention's events_days must be 0 or at least {LEAST_DAYS}: an event "
            "that is sent again after that would count twice"
        )
    if _shorter(chosen.sessions_days, chosen.events_days):
        raise ValueError(
            "retention's sessions_days may not be less than events_days "
            f"({chosen.sessions_days} and {chosen.events_days})"
        )
    return chosen


def retention_of(settings: str) -> Retention:
    """Return the retention in an account's settings (JSON), the default if unusable."""
    given = json.loads(settings).get("retention", {})
    try:
        return check_retention(given)
    except ValueError:
        return DEFAULT


def _shorter(one: int, other: int) -> bool:
    return one != 0 and (other == 0 or one < other)
