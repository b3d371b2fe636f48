"""Refunds, and conversions that never should have been."""

from __future__ import annotations

from dataclasses import dataclass

from mbuzz import ids
from mbuzz.server import money
from mbuzz.server.model import RefundCall, Tenant
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.conversions import ConversionRow, NewRefund, RefundRow
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.conversions import attribute, attribute_with_others
from mbuzz.server.tracking.identity import RefusedError

_MOST_REFUNDS = 1_000  # of one conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundRecorded:
    """A refund is stored; `conversion` is what became of the sale."""

    refund: RefundRow
    conversion: ConversionRow
    duplicate: bool = False
    amount_differs: bool = False
    rounded: bool = False


def refund(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversion: ConversionRow,
    call: RefundCall,
) -> RefundRecorded:
    """Give back a conversion's revenue, or a part of it.

    A refund with an id that is known is the same one; it changes nothing.

    Raises:
        RefusedError: If there is not as much left to be given back.
    """
    known = store.refunds(tenant, conversion.id)
    amount, rounded = _amount(conversion, call)
    for row in known:
        if row.refund_id == call.refund_id:
            differs = amount is not None and amount != row.amount_minor
            return RefundRecorded(
                refund=row,
                conversion=conversion,
                duplicate=True,
                amount_differs=differs,
            )
    store.insert_refund(
        tenant,
        NewRefund(
            public_id=ids.time_ordered("rfnd", call.received_at_ms),
            conversion=conversion.id,
            refund_id=call.refund_id,
            amount_minor=_taken(conversion, amount, len(known)),
            reason=call.reason,
            refunded_at_ms=max(call.refunded_at_ms, conversion.converted_at_ms),
            received_at_ms=call.received_at_ms,
        ),
    )
    attribute(store, tenant, policy, store.conversion(tenant, conversion.id))
    return RefundRecorded(
        refund=store.refunds(tenant, conversion.id)[-1],
        conversion=store.conversion(tenant, conversion.id),
        rounded=rounded,
    )


def _amount(conversion: ConversionRow, call: RefundCall) -> tuple[int | None, bool]:
    if call.amount is None:
        return None, False
    try:
        return money.parse(call.amount, conversion.currency, "amount")
    except ValueError as error:
        raise RefusedError(str(error)) from None


def _taken(conversion: ConversionRow, amount: int | None, known: int) -> int:
    """Return how much is given back, if that can be."""
    if conversion.voided_at_ms is not None:
        raise RefusedError("the conversion is void: there is nothing to give back")
    if not conversion.revenue_minor:
        raise RefusedError("the conversion has no revenue: there is nothing to refund")
    if known >= _MOST_REFUNDS:
        raise RefusedError(f"a conversion may have {_MOST_REFUNDS} refunds")
    left = conversion.revenue_minor - conversion.refunded_minor
    if not left:
        raise RefusedError("the conversion is refunded already, all of it")
    if amount is None:
        return left
    currency = conversion.currency
    if not amount:
        smallest = money.text(1, currency)
        raise RefusedError(f"amount must be at least {smallest} {currency}")
    if amount > left:
        raise RefusedError(
            f"amount must be at most {money.text(left, currency)} {currency}, what is "
            f"left of the revenue; got {money.text(amount, currency)}"
        )
    return amount


def void(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversion: ConversionRow,
    at_ms: int,
    reason: str | None,
) -> ConversionRow:
    """Take a conversion out of all counts, such as a test order; it is kept.

    Of what is void already nothing changes.
    """
    if conversion.voided_at_ms is None:
        store.void_conversion(tenant, conversion.id, at_ms, reason)
        gone = store.conversion(tenant, conversion.id)
        attribute_with_others(store, tenant, policy, gone)
    return store.conversion(tenant, conversion.id)
