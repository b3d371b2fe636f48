"""Conversions: the journey before each, and the credits that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server import money
from mbuzz.server.attribution import models
from mbuzz.server.attribution.journeys import LOOKBACK_MS, eligible
from mbuzz.server.model import Credit, Tenant, Touchpoint
from mbuzz.server.policy import Policy
from mbuzz.server.storage.port import ConversionRow, TrackingStore


def attribute(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> Sequence[Credit]:
    """Work out and keep a conversion's credits under every model, and return them."""
    journey = eligible(
        _touchpoints(store, tenant, policy, conversion),
        conversion.converted_at_ms,
        LOOKBACK_MS,
    )
    decimals = money.exponent(conversion.currency)
    shares = [
        credit
        for model in models.MODELS
        for credit in models.credits(model, journey, conversion.revenue_minor, decimals)
    ]
    store.replace_credits(tenant, conversion, shares)
    return shares


def _touchpoints(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> Sequence[Touchpoint]:
    """Return the sessions of the person who converted, on every device.

    The visit in which it happened counts even if the browser was somebody else's when
    that visit began.
    """
    at_ms = conversion.converted_at_ms
    visitor, identity = conversion.visitor, conversion.identity
    if identity is None and visitor is not None:
        identity = store.link_at(tenant, visitor, at_ms)
    if identity is None:
        assert visitor is not None, "a conversion is of a visitor or an identity"
        return store.touchpoints_of_visitor(tenant, visitor, at_ms)
    group = store.group(tenant, store.root(tenant, identity))
    found = {
        touchpoint.session_id: touchpoint
        for touchpoint in store.touchpoints_of_identities(tenant, group, at_ms)
    }
    if visitor is not None:
        current = store.session_covering(
            tenant, visitor, at_ms, policy.session_timeout_ms
        )
        if current is not None and current.id not in found:
            for touchpoint in store.touchpoints_of_visitor(tenant, visitor, at_ms):
                if touchpoint.session_id == current.id:
                    found[current.id] = touchpoint
    return list(found.values())


def attribute_again(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    *,
    visitor: int | None = None,
    identity: int | None = None,
    from_ms: int = 0,
) -> None:
    """Renew the credits of a person's conversions from *from_ms* on.

    Called when sessions changed or ids were linked, in the same transaction, so that
    a report never sees conversions and sessions that contradict each other. Everybody
    the visitor ever was may have to give credit up, or may get it.
    """
    linked = set() if identity is None else {identity}
    visitors: set[int] = set()
    if visitor is not None:
        linked.update(store.linked_identities(tenant, visitor))
    identities: set[int] = set()
    for root in {store.root(tenant, one) for one in linked}:
        identities.update(store.group(tenant, root))
    if identities:
        visitors.update(store.linked_visitors(tenant, identities))
    if visitor is not None:
        visitors.add(visitor)
    for conversion in store.conversions_of(tenant, identities, visitors, from_ms):
        attribute(store, tenant, policy, conversion)


def attribute_covered(
    store: TrackingStore, tenant: Tenant, policy: Policy, visitor: int, from_ms: int
) -> None:
    """Renew the credits of a visitor's own conversions from *from_ms* on.

    A visit that goes on for longer may cover a conversion that was known before.
    """
    for conversion in store.conversions_of(tenant, (), (visitor,), from_ms):
        attribute(store, tenant, policy, conversion)
