"""Conversions and their refunds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from mbuzz.server.conversion_settings import EVERY, LOOKBACK_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConversion:
    """A conversion about to be stored."""

    public_id: str
    dedupe_key: str | None
    conversion_type: str
    visitor: int | None
    identity: int | None
    event: int | None
    revenue_minor: int | None
    currency: str
    converted_at_ms: int
    received_at_ms: int
    is_acquisition: bool
    inherits: bool
    lookback_days: int
    counting: str
    funnel: str | None
    correlation: Mapping[str, object]
    flags: frozenset[str]
    properties: Mapping[str, object]


class Standing(NamedTuple):
    """What a conversion is among the others of its person.

    `counted`: it is in the totals; `acquires`: it made the person a customer;
    `inherited_from`: the conversion whose channels it has taken over.
    """

    counted: bool = True
    acquires: bool = False
    inherited_from: int | None = None


STANDING: Final = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRow:
    """A stored conversion.

    `is_acquisition` and `inherits` are what was said of it, `standing` what came of
    that. `lookback_days` of 0 is no limit.
    """

    id: int
    public_id: str
    conversion_type: str
    visitor: int | None
    visitor_id: str | None
    identity: int | None
    revenue_minor: int | None
    currency: str
    converted_at_ms: int
    user_id: str | None = None
    is_acquisition: bool = False
    inherits: bool = False
    lookback_days: int = LOOKBACK_DAYS
    counting: str = EVERY
    funnel: str | None = None
    refunded_minor: int = 0
    voided_at_ms: int | None = None
    void_reason: str | None = None
    standing: Standing = STANDING
    flags: frozenset[str] = frozenset()
    attributed_version: int = 0
    frozen: bool = False  # visits before it are no longer kept

    @property
    def status(self) -> str:
        """Return how much of it still holds."""
        if self.voided_at_ms is not None:
            return "void"
        if not self.refunded_minor:
            return "complete"
        whole = self.refunded_minor == self.revenue_minor
        return "refunded" if whole else "partially_refunded"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """A refund about to be stored."""

    public_id: str
    conversion: int
    refund_id: str
    amount_minor: int
    reason: str | None
    refunded_at_ms: int
    received_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRow:
    """A stored refund; its amount is more than 0."""

    id: int
    public_id: str
    refund_id: str
    amount_minor: int
    reason: str | None
    refunded_at_ms: int
