"""Sums that reports are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSum:
    """What one channel got under one model: billionths, and millionths of a unit.

    `refunds` is what it gave back, 0 or less.
    """

    model: str
    channel: str
    credit: int
    revenue: int
    refunds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A period's conversions in one currency, and the visits of all."""

    conversions: int
    revenue_minor: int
    refunds_minor: int = 0  # 0 or less
    visits: Mapping[str, int] = field(default_factory=dict)  # by channel
    visitors: int = 0
    page_views: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRows:
    """What the data-quality panel is made of; visits are sessions that began then."""

    visits: int
    direct: int
    of_one_event: int
    visitors: int
    with_referrer: int
    events: int
    pages: int
    bots: int
    relinked: int  # visitors that became somebody else's
    flags: Mapping[str, int]  # of visits, as they are together
    event_flags: Mapping[str, int]
    conversion_flags: Mapping[str, int]  # with what was wished, and could not be
    sources: Mapping[str, int]
    passed_through: Mapping[tuple[str, str], int]  # (referrer inside a visit, its URL)
    days: Sequence[tuple[int, int, int]]  # day, visits, visitors
