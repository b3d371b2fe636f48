"""What the API says of each call: the JSON of rejections, events and conversions."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz import protocol
from mbuzz.clock import iso
from mbuzz.server import money
from mbuzz.server.ingestion.fields import storable
from mbuzz.server.model import Credit
from mbuzz.server.model_definitions import JOURNEYS
from mbuzz.server.storage.rows.conversions import ConversionRow
from mbuzz.server.tracking.recorded import (
    ConversionRecorded,
    EventRecorded,
    GroupRecorded,
    IdentityRecorded,
    Recorded,
    Refused,
)


def rejection(index: int, item: object, errors: Sequence[str]) -> dict[str, object]:
    """Return what is said of an item that was not taken."""
    return {
        "index": index,
        "id": echo(item, "id"),
        "event_type": echo(item, "event_type"),
        "errors": list(errors),
        "status": "rejected",
    }


def echo(item: object, name: str) -> str | None:
    """Return what the client called its item; nothing but text that can be said."""
    value = item.get(name) if isinstance(item, dict) else None
    return storable(value)[: protocol.MAX_USER_ID] if isinstance(value, str) else None


def item_body(
    recorded: Recorded, warnings: Sequence[str], *, live: bool
) -> dict[str, object]:
    """Return what is said of an item that was taken."""
    match recorded:
        case EventRecorded():
            body: dict[str, object] = {
                "id": recorded.event_id,
                "event_type": recorded.event_type,
                "visitor_id": recorded.visitor_id,
                "session_id": recorded.session_id,
            }
            if recorded.duplicate:
                body["duplicate"] = True
            if recorded.dropped:
                warnings = [*warnings, "no_consent"]
            if recorded.bot and not live:  # live answers must not teach bots
                warnings = [*warnings, "bot"]
        case IdentityRecorded():
            body = identity_body(recorded)
        case GroupRecorded():
            body = {"duplicate": True} if recorded.duplicate else {}
        case ConversionRecorded():
            body = conversion_body(recorded)
            warnings = conversion_warnings(recorded, warnings)
        case Refused():
            raise AssertionError("refusals are answered elsewhere")
    return {**body, "warnings": list(warnings)} if warnings else body


def identity_body(recorded: IdentityRecorded) -> dict[str, object]:
    """Return what is said of an identify or alias call."""
    body: dict[str, object] = {
        "identity_id": recorded.identity_id,
        "visitor_linked": recorded.visitor_linked,
    }
    if recorded.previous_link_closed:
        body["previous_link_closed"] = True
    return body


def conversion_warnings(
    recorded: ConversionRecorded, warnings: Sequence[str]
) -> list[str]:
    """Return the warnings about a conversion, of the call and of what came of it."""
    found = [*warnings, *standing_warnings(recorded.conversion)]
    if recorded.amount_differs:
        found.append("amount_differs")
    if recorded.unknown_user:
        found.append("unknown_user")
    return found


def standing_warnings(row: ConversionRow) -> list[str]:
    """Return what was wished for a conversion and could not be."""
    standing = row.standing
    if row.status == "void":
        return []
    found = []
    if not standing.counted:
        found.append("not_counted")
    if row.is_acquisition and not standing.acquires:
        found.append("already_acquired")
    if row.inherits and standing.inherited_from is None and not standing.acquires:
        found.append("no_acquisition")
    return found


def conversion_body(recorded: ConversionRecorded) -> dict[str, object]:
    """Return a conversion with its credits under every model."""
    row = recorded.conversion
    by_model: dict[str, list[Credit]] = {}
    for credit in recorded.credits:
        by_model.setdefault(credit.model, []).append(credit)
    return {
        "conversion_id": row.public_id,
        "conversion": conversion_summary(row),
        "attribution_credits": {
            model: [credit_body(credit) for credit in credits_]
            for model, credits_ in by_model.items()
        },
        "attribution": {
            "status": "complete",
            "models": sorted(by_model),
            "pending": list(recorded.pending),
            "lookback_days": lookback_body(row),
            "touchpoints": sum(
                credit.touchpoint is not None for credit in by_model.get(JOURNEYS, ())
            ),
        },
        "duplicate": recorded.duplicate,
    }


def conversion_summary(row: ConversionRow) -> dict[str, object]:
    """Return what was converted, for how much, when, and by which browser."""
    revenue = None
    if row.revenue_minor is not None:
        revenue = money.text(row.revenue_minor, row.currency)
    return {
        "id": row.public_id,
        "conversion_type": row.conversion_type,
        "revenue": revenue,
        "currency": row.currency,
        "converted_at": iso(row.converted_at_ms),
        "visitor_id": row.visitor_id,
    }


def lookback_body(row: ConversionRow) -> int | str:
    """Return the window a conversion was credited under, in days, or ``all``."""
    return row.lookback_days or "all"


def credit_body(credit: Credit) -> dict[str, object]:
    """Return a credit as numbers: the integers behind them are exact, these are not."""
    touchpoint = credit.touchpoint
    return {
        "session_id": (touchpoint.public_id or None) if touchpoint else None,
        "channel": credit.channel,
        "credit": credit.credit / 1_000_000_000,
        "revenue_credit": (
            credit.revenue / 1_000_000 if credit.revenue is not None else None
        ),
        "utm": dict(touchpoint.utm) if touchpoint else {},
    }
