"""Conversions: the journey before each, and the credits that follow from it."""

from __future__ import annotations

from collections.abc import Sequence

from mbuzz.server import money
from mbuzz.server.attribution import models
from mbuzz.server.attribution.journeys import eligible, lookback_ms
from mbuzz.server.attribution.refunds import taken_back
from mbuzz.server.model import Credit, Tenant, Touchpoint
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.conversions import ConversionRow
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.people import identity_of, owner_of, person
from mbuzz.server.tracking.standing import standing_of


def attribute(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> Sequence[Credit]:
    """Work out and keep a conversion's credits under every model, and return them.

    With them go its standing and what refunds take back. What is not in the totals
    has no credits, so that sums of credits need not ask.
    """
    if conversion.frozen and conversion.voided_at_ms is None:
        # Anew its credits would go to whoever is left.
        journey = journey_of(store, tenant, policy, conversion)
        counted = conversion.standing.counted
        _take_back(store, tenant, conversion, journey, counted=counted)
        return store.credits(tenant, conversion.id)
    standing, acquisition = standing_of(store, tenant, policy, conversion)
    credits_: list[Credit] = []
    journey = ()
    if standing.counted:
        journey = journey_of(store, tenant, policy, acquisition or conversion)
        decimals = money.exponent(conversion.currency)
        for model in models.MODELS:
            credits_ += models.credits(
                model, journey, conversion.revenue_minor, decimals
            )
    store.replace_credits(tenant, conversion, standing, credits_)
    _take_back(store, tenant, conversion, journey, counted=standing.counted)
    return credits_


def _take_back(
    store: TrackingStore,
    tenant: Tenant,
    conversion: ConversionRow,
    journey: Sequence[Touchpoint],
    *,
    counted: bool,
) -> None:
    """Keep what the conversion's refunds take back of its credits."""
    if not conversion.refunded_minor:
        return
    assert conversion.revenue_minor is not None, "only revenue can be refunded"
    refunds = store.refunds(tenant, conversion.id)
    taken: dict[int, list[Credit]] = {refund.id: [] for refund in refunds}
    for model in models.MODELS if counted else ():
        parts = taken_back(
            model,
            journey,
            conversion.revenue_minor,
            [refund.amount_minor for refund in refunds],
            money.exponent(conversion.currency),
        )
        for refund, part in zip(refunds, parts, strict=True):
            taken[refund.id] += part
    store.replace_refund_credits(
        tenant, conversion, [(refund, taken[refund.id]) for refund in refunds]
    )


def journey_of(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> Sequence[Touchpoint]:
    """Return the visits before a conversion, as far as its window reaches.

    Where some are no longer kept, they are as its credits remember them.
    """
    if conversion.frozen:
        return _remembered(store.credits(tenant, conversion.id))
    window_ms = lookback_ms(conversion.lookback_days)
    at_ms = conversion.converted_at_ms
    from_ms = at_ms - window_ms if window_ms is not None else 0
    return eligible(
        _touchpoints(store, tenant, policy, conversion, from_ms), at_ms, window_ms
    )


def _remembered(credits_: Sequence[Credit]) -> Sequence[Touchpoint]:
    """Return the journey that credits tell of; what got none stands in as direct."""
    length = max((credit.length for credit in credits_), default=0)
    known = {c.position: c.touchpoint for c in credits_ if c.touchpoint}
    if not known:
        return ()
    earliest = min(touchpoint.started_at_ms for touchpoint in known.values())
    stand_in = Touchpoint(
        session_id=0, public_id="", channel="direct", started_at_ms=earliest
    )
    return [known.get(position, stand_in) for position in range(length)]


def _touchpoints(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversion: ConversionRow,
    from_ms: int,
) -> Sequence[Touchpoint]:
    """Return the sessions of the person who converted, on every device.

    The visit in which it happened counts even if the browser was somebody else's when
    that visit began.
    """
    at_ms, visitor = conversion.converted_at_ms, conversion.visitor
    identity = identity_of(store, tenant, conversion)
    if identity is None:
        if visitor is None:
            return []
        return store.touchpoints_of_visitor(tenant, visitor, from_ms, at_ms)
    group = store.group(tenant, store.root(tenant, identity))
    found = {
        touchpoint.session_id: touchpoint
        for touchpoint in store.touchpoints_of_identities(tenant, group, from_ms, at_ms)
    }
    if visitor is not None:
        current = store.session_covering(
            tenant, visitor, at_ms, policy.session_timeout_ms
        )
        if current is not None and current.id not in found:
            own = store.touchpoints_of_visitor(tenant, visitor, from_ms, at_ms)
            found.update((t.session_id, t) for t in own if t.session_id == current.id)
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
    _renew(
        store,
        tenant,
        policy,
        store.conversions_of(tenant, identities, visitors, from_ms),
    )


def attribute_covered(
    store: TrackingStore, tenant: Tenant, policy: Policy, visitor: int, from_ms: int
) -> None:
    """Renew the credits of a visitor's own conversions from *from_ms* on.

    A visit that goes on for longer may cover a conversion that was known before.
    """
    _renew(store, tenant, policy, store.conversions_of(tenant, (), (visitor,), from_ms))


def attribute_with_others(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> None:
    """Renew the credits of a person's conversions from *conversion* on.

    Called when it came, or went, and others may take its place, or lose theirs.
    """
    key = owner_of(store, tenant, conversion)
    found = [conversion]
    if key is not None:
        who = person(store, tenant, key)
        visitors = {*who.visitors, *filter(None, [conversion.visitor])}
        found += store.conversions_of(
            tenant, who.identities, visitors, conversion.converted_at_ms
        )
    _renew(store, tenant, policy, found)


def _renew(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversions: Sequence[ConversionRow],
) -> None:
    """Attribute *conversions* again, and those that take their channels over."""
    due = {conversion.id: conversion for conversion in conversions}
    for conversion in conversions:
        if conversion.is_acquisition:
            key = owner_of(store, tenant, conversion)
            if key is not None:
                who = person(store, tenant, key)
                heirs = store.conversions_of(
                    tenant, who.identities, who.visitors, conversion.converted_at_ms
                )
                due.update((heir.id, heir) for heir in heirs if heir.inherits)
    for conversion in due.values():
        attribute(store, tenant, policy, conversion)
