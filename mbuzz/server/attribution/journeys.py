"""Journeys: which touchpoints a conversion can be credited to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mbuzz.server.model import Touchpoint

LOOKBACK_DAYS: Final = 90
_DAY_MS: Final = 86_400_000


def lookback_ms(days: int) -> int | None:
    """Return how far back a window of *days* reaches; None for 0, which is no limit."""
    return days * _DAY_MS if days else None


def eligible(
    touchpoints: Iterable[Touchpoint], converted_at_ms: int, lookback_ms: int | None
) -> tuple[Touchpoint, ...]:
    """Return the touchpoints of one conversion, the oldest first.

    Those at the very moment of the conversion and at the very edge of the window
    count. *lookback_ms* is how far back the window reaches; None is no limit. Of two
    that began together, what they are says which is first, not which came first.

    Raises:
        ValueError: If *lookback_ms* is less than 0.
    """
    if lookback_ms is not None and lookback_ms < 0:
        raise ValueError(f"lookback_ms must be 0 or more, got {lookback_ms!r}")
    chosen = [
        touchpoint
        for touchpoint in touchpoints
        if touchpoint.started_at_ms <= converted_at_ms
        and (
            lookback_ms is None
            or converted_at_ms - touchpoint.started_at_ms <= lookback_ms
        )
    ]
    chosen.sort(
        key=lambda touchpoint: (
            touchpoint.started_at_ms,
            touchpoint.order,
            touchpoint.session_id,
        )
    )
    return tuple(chosen)
