"""Journeys: which touchpoints a conversion can be credited to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Final, NamedTuple

from mbuzz.server.model import Touchpoint

LOOKBACK_DAYS: Final = 90
_DAY_MS: Final = 86_400_000
_NO_TIMES: Final[Mapping[str, int]] = MappingProxyType({})


class Journey(NamedTuple):
    """What models see: someone's touchpoints, the oldest first, and what came of them.

    `channels` and `times_ms` have an entry for each touchpoint. `converted_at_ms` is
    None for a person who has not converted. `revenue` is in millionths of the currency
    unit, None for a conversion without. `milestones` are times of events on the way,
    by name, none of them after the conversion.
    """

    channels: tuple[str, ...]
    times_ms: Sequence[int]
    converted_at_ms: int | None = None
    revenue: int | None = None
    milestones: Mapping[str, int] = _NO_TIMES

    def only(self, positions: Sequence[int]) -> Journey:
        """Return the journey with the touchpoints at *positions* alone."""
        return self._replace(
            channels=tuple(self.channels[position] for position in positions),
            times_ms=[self.times_ms[position] for position in positions],
        )


def lookback_ms(days: int) -> int:
    """Return how far back a window of *days* reaches; 0 is no limit, of either."""
    return days * _DAY_MS


def within(
    times_ms: Sequence[int], converted_at_ms: int, lookback_ms: int
) -> list[int]:
    """Return which of *times_ms* lie in the window, by time, ties in the order given.

    Those at the very moment of the conversion and at the very edge of the window
    count. *lookback_ms* is how far back the window reaches; 0 is no limit.

    Raises:
        ValueError: If *lookback_ms* is less than 0.
    """
    if lookback_ms < 0:
        raise ValueError(f"lookback_ms must be 0 or more, got {lookback_ms!r}")
    found = [
        (time_ms, index)
        for index, time_ms in enumerate(times_ms)
        if time_ms <= converted_at_ms
        and (not lookback_ms or converted_at_ms - time_ms <= lookback_ms)
    ]
    found.sort(key=itemgetter(0))
    return [index for _, index in found]


def eligible(
    touchpoints: Iterable[Touchpoint], converted_at_ms: int, lookback_ms: int
) -> tuple[Touchpoint, ...]:
    """Return the touchpoints `within` the window of a conversion, the oldest first.

    Of two that began together, what they are says which is first, not which came first.

    Raises:
        ValueError: If *lookback_ms* is less than 0.
    """
    ordered = sorted(touchpoints, key=lambda one: (one.order, one.session_id))
    times_ms = [touchpoint.started_at_ms for touchpoint in ordered]
    return tuple(
        ordered[index] for index in within(times_ms, converted_at_ms, lookback_ms)
    )
