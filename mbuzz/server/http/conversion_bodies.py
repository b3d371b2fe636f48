"""What the API says of a conversion when asked for all of it, and of its refunds."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.clock import iso
from mbuzz.server import money
from mbuzz.server.http.bodies import (
    conversion_summary,
    credit_body,
    lookback_body,
    standing_warnings,
)
from mbuzz.server.model import Credit, Tenant, Touchpoint
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.conversions import ConversionRow, RefundRow
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.conversions import pending_models
from mbuzz.server.tracking.journeys import known_of, source_of
from mbuzz.server.tracking.refunds import RefundRecorded

_DAY_MS = 86_400_000


def conversion_in_full(
    store: TrackingStore, tenant: Tenant, policy: Policy, row: ConversionRow
) -> dict[str, object]:
    """Return a conversion with its journey, its credits with why, and its refunds."""
    properties, correlation = store.conversion_details(tenant, row.id)
    standing = row.standing
    source = source_of(store, tenant, row)
    journey = known_of(store, tenant, policy, source).within_own_window()
    by_model: dict[str, list[dict[str, object]]] = {}
    credits_ = store.credits(tenant, row.id)
    for credit in credits_:
        by_model.setdefault(credit.model, []).append(_explained(credit, row))
    return {
        "conversion": {
            **conversion_summary(row),
            "user_id": row.user_id,
            **_amounts(row),
            "counted": standing.counted,
            "is_acquisition": standing.acquires,
            "inherited_from": source.public_id if source.id != row.id else None,
            "funnel": row.funnel,
            "properties": properties,
            "correlation": correlation,
            "void_reason": row.void_reason,
            "flags": sorted({*row.flags, *standing_warnings(row)}),
        },
        "journey": [_visit(touchpoint, row) for touchpoint in journey],
        "attribution_credits": by_model,
        "attribution": {
            "status": "complete",
            "models": sorted(by_model),
            "pending": pending_models(policy, credits_),
            "lookback_days": lookback_body(row),
            "touchpoints": len(journey),
            "version": row.attributed_version,
        },
        "refunds": [
            _refund(refund, row.currency) for refund in store.refunds(tenant, row.id)
        ],
    }


def refund_body(
    store: TrackingStore, tenant: Tenant, done: RefundRecorded
) -> dict[str, object]:
    """Return a refund, what it took back from whom, and what became of the sale."""
    row = done.conversion
    by_model: dict[str, list[dict[str, object]]] = {}
    for refund, model, position, channel, revenue in store.refund_credits(
        tenant, row.id
    ):
        if refund == done.refund.id:
            by_model.setdefault(model, []).append(
                {
                    "position": position,
                    "channel": channel,
                    "revenue_credit": revenue / 1_000_000,
                }
            )
    body: dict[str, object] = {
        "refund": _refund(done.refund, row.currency),
        "conversion": {**conversion_summary(row), **_amounts(row)},
        "attribution_credits": by_model,
        "duplicate": done.duplicate,
    }
    warnings = ["amount_differs"] * done.amount_differs
    if done.rounded:
        warnings.append("amount was rounded to the currency's smallest unit")
    return {**body, "warnings": warnings} if warnings else body


def _amounts(row: ConversionRow) -> dict[str, object]:
    net = None
    if row.revenue_minor is not None:
        net = money.text(row.revenue_minor - row.refunded_minor, row.currency)
    return {
        "status": row.status,
        "refunded": money.text(row.refunded_minor, row.currency),
        "net_revenue": net,
    }


def _refund(refund: RefundRow, currency: str) -> dict[str, object]:
    return {
        "id": refund.public_id,
        "refund_id": refund.refund_id,
        "amount": money.text(refund.amount_minor, currency),
        "currency": currency,
        "reason": refund.reason,
        "refunded_at": iso(refund.refunded_at_ms),
    }


def _visit(touchpoint: Touchpoint, row: ConversionRow) -> dict[str, object]:
    return {
        "session_id": touchpoint.public_id or None,
        "channel": touchpoint.channel,
        "started_at": iso(touchpoint.started_at_ms),
        "days_to_conversion": _days(touchpoint, row),
        "utm": dict(touchpoint.utm),
    }


def _explained(credit: Credit, row: ConversionRow) -> dict[str, object]:
    touchpoint = credit.touchpoint
    return {
        **credit_body(credit),
        "why": {
            "position": _position(credit.position, credit.length),
            "index": credit.position,
            "length": credit.length,
            "role": credit.role or None,
            "days_to_conversion": _days(touchpoint, row) if touchpoint else None,
            "weight": credit.weight,
            "model": credit.model,
            "version": credit.version,
        },
    }


def _days(touchpoint: Touchpoint, row: ConversionRow) -> float:
    return round((row.converted_at_ms - touchpoint.started_at_ms) / _DAY_MS, 3)


def _position(index: int, length: int) -> str | None:
    """Return where in the journey a visit was, in a word."""
    words: Sequence[tuple[bool, str]] = [
        (length == 1, "only"),
        (index == 0, "first"),
        (index == length - 1, "last"),
    ]
    if not length:
        return None
    return next((word for holds, word in words if holds), "middle")
