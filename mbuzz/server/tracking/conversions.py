"""Conversions: the credits that follow from the journey before each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby
from operator import attrgetter

from mbuzz.server import money
from mbuzz.server.attribution import models
from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.refunds import taken_back
from mbuzz.server.model import Credit, Tenant
from mbuzz.server.model_definitions import milestone_name
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.conversions import ConversionRow
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.journeys import known_of, source_of
from mbuzz.server.tracking.people import owner_of, person
from mbuzz.server.tracking.standing import standing_of
from mbuzz.server.tracking.trained import trained_models


def attribute(
    store: TrackingStore, tenant: Tenant, policy: Policy, conversion: ConversionRow
) -> Sequence[Credit]:
    """Work out and keep a conversion's credits under every model, and return them.

    With them go its standing and what refunds take back. What is not in the totals
    has no credits, so that sums of credits need not ask.
    """
    if conversion.frozen and conversion.voided_at_ms is None:
        # Anew its credits would go to whoever is left.
        credits_ = store.credits(tenant, conversion.id)
        _take_back(store, tenant, conversion, credits_)
        return credits_
    standing, acquisition = standing_of(store, tenant, policy, conversion)
    credits_ = []
    if standing.counted:
        used = _in_force(store, tenant, policy)
        source = acquisition or conversion
        credits_ = _credits(store, tenant, policy, conversion, source, used)
    store.replace_credits(tenant, conversion, standing, credits_)
    _take_back(store, tenant, conversion, credits_)
    return credits_


def pending_models(policy: Policy, credits_: Collection[Credit]) -> list[str]:
    """Return the models that have yet to be trained before they credit a conversion.

    One that has no credits under any model is not in the totals, and waits for none.
    """
    credited = {credit.model for credit in credits_}
    learned = [one.key for one in policy.models.learned]
    return sorted(key for key in learned if credited and key not in credited)


def is_milestone(policy: Policy, conversion: ConversionRow) -> bool:
    """Tell whether a model asks for conversions of this type on the way to others."""
    return milestone_name(conversion.conversion_type) in policy.models.asked_for


def credit_under(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversion: ConversionRow,
    keys: Collection[str],
) -> int:
    """Work out and keep a conversion's credits under some models, and leave the others.

    Under a model that is not in force there are none. Return how many there are.
    """
    credits_: list[Credit] = []
    standing = conversion.standing
    if standing.counted and conversion.attributed_version:
        source = source_of(store, tenant, conversion)
        used = [
            model for model in _in_force(store, tenant, policy) if model.key in keys
        ]
        credits_ = _credits(store, tenant, policy, conversion, source, used)
    store.replace_credits_of(tenant, conversion, keys, credits_)
    if conversion.refunded_minor:
        _take_back(store, tenant, conversion, store.credits(tenant, conversion.id))
    return len(credits_)


def _in_force(store: TrackingStore, tenant: Tenant, policy: Policy) -> list[Model]:
    return [*policy.models.rules, *trained_models(store, tenant, policy.models)]


def _credits(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversion: ConversionRow,
    source: ConversionRow,
    used: Sequence[Model],
) -> list[Credit]:
    """Return a conversion's credits, by the journey before *source*."""
    known = known_of(store, tenant, policy, source)
    revenue = money.millionths(conversion.revenue_minor, conversion.currency)
    journey = known.journey._replace(revenue=revenue)
    return [
        credit
        for model in used
        for credit in models.credited(
            model, journey, known.touchpoints, known.lookback_ms
        )
    ]


def _take_back(
    store: TrackingStore,
    tenant: Tenant,
    conversion: ConversionRow,
    credits_: Sequence[Credit],
) -> None:
    """Keep what the conversion's refunds take back of its credits."""
    if not conversion.refunded_minor:
        return
    refunds = store.refunds(tenant, conversion.id)
    amounts = [
        refund.amount_minor * money.unit(conversion.currency) for refund in refunds
    ]
    taken: dict[int, list[Credit]] = {refund.id: [] for refund in refunds}
    for _, of_model in groupby(credits_, key=attrgetter("model")):
        parts = taken_back(list(of_model), amounts)
        for refund, part in zip(refunds, parts, strict=True):
            taken[refund.id] += part
    store.replace_refund_credits(
        tenant, conversion, [(refund, taken[refund.id]) for refund in refunds]
    )


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
