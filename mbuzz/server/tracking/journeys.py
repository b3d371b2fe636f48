"""The journey before a conversion: whose visits, how far back, with what on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mbuzz.server import money
from mbuzz.server.attribution.journeys import Journey, eligible, lookback_ms, within
from mbuzz.server.attribution.models import Model
from mbuzz.server.model import Credit, Tenant, Touchpoint
from mbuzz.server.model_definitions import JOURNEYS, Models, milestone_name
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.conversions import ConversionRow
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.people import identity_of


class Known(NamedTuple):
    """All that models may ask of a conversion.

    `journey` is as wide as the widest of their windows; `touchpoints` are those of it.
    """

    journey: Journey
    touchpoints: Sequence[Touchpoint]
    lookback_ms: int  # the conversion's own window; 0 of what is remembered by it

    def shown_to(self, model: Model) -> Journey:
        """Return the journey as far back as the model may look."""
        journey, at_ms = self.journey, self.journey.converted_at_ms
        if model.lookback_ms is not None or not self.lookback_ms or at_ms is None:
            return journey
        return journey.only(within(journey.times_ms, at_ms, self.lookback_ms))

    def within_own_window(self) -> Sequence[Touchpoint]:
        """Return the touchpoints that the conversion's own window shows."""
        at_ms = self.journey.converted_at_ms
        assert at_ms is not None, "it is a conversion's"
        return eligible(self.touchpoints, at_ms, self.lookback_ms)


def source_of(
    store: TrackingStore, tenant: Tenant, conversion: ConversionRow
) -> ConversionRow:
    """Return the conversion whose journey counts: itself, or whom it inherits from.

    Where that one is no longer kept, it is itself, as its credits remember it.
    """
    inherited_from = conversion.standing.inherited_from
    if inherited_from is None:
        return conversion
    found = store.kept_conversion(tenant, inherited_from)
    return found if found is not None else replace(conversion, frozen=True)


def known_of(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversion: ConversionRow,
    models: Models | None = None,
) -> Known:
    """Return what is known of the way to a conversion.

    As far back as any of *models* looks, which are the account's unless given. Where
    some visits are no longer kept, they are as the conversion's credits remember them.
    """
    models = models or policy.models
    at_ms = conversion.converted_at_ms
    group = _identities(store, tenant, conversion)
    if conversion.frozen:
        touchpoints = _remembered(store.credits(tenant, conversion.id))
    else:
        widest_ms = models.widest_ms(conversion.lookback_days)
        from_ms = at_ms - widest_ms if widest_ms else 0
        found = _touchpoints(store, tenant, policy, conversion, group, from_ms)
        touchpoints = eligible(found, at_ms, widest_ms)
    revenue = money.millionths(conversion.revenue_minor, conversion.currency)
    journey = Journey(
        channels=tuple(touchpoint.channel for touchpoint in touchpoints),
        times_ms=[touchpoint.started_at_ms for touchpoint in touchpoints],
        converted_at_ms=at_ms,
        revenue=revenue,
        milestones=_milestones(store, tenant, conversion, group, models.milestones),
    )
    # A renewal's visits may be long before its own window.
    own_ms = 0 if conversion.frozen else lookback_ms(conversion.lookback_days)
    return Known(journey, touchpoints, own_ms)


def _milestones(
    store: TrackingStore,
    tenant: Tenant,
    conversion: ConversionRow,
    group: Sequence[int],
    names: Collection[str],
) -> Mapping[str, int]:
    """Return when the person first reached each milestone, by the names asked for."""
    if not names:
        return {}
    called = {name: milestone_name(name) for name in names}
    at_ms = conversion.converted_at_ms
    reached: Mapping[str, int] = {}
    if group:
        reached = store.milestones_of_identities(tenant, group, called.values(), at_ms)
    elif conversion.visitor is not None:
        reached = store.milestones_of_visitor(
            tenant, conversion.visitor, called.values(), at_ms
        )
    return {name: reached[key] for name, key in called.items() if key in reached}


def _remembered(credits_: Sequence[Credit]) -> Sequence[Touchpoint]:
    """Return the journey that credits tell of, under the model that shows all of it."""
    return [
        credit.touchpoint
        for credit in credits_
        if credit.model == JOURNEYS and credit.touchpoint is not None
    ]


def _identities(
    store: TrackingStore, tenant: Tenant, conversion: ConversionRow
) -> Sequence[int]:
    """Return all that the person who converted is known as; empty for nobody known."""
    identity = identity_of(store, tenant, conversion)
    if identity is None:
        return ()
    return store.group(tenant, store.root(tenant, identity))


def _touchpoints(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    conversion: ConversionRow,
    group: Sequence[int],
    from_ms: int,
) -> Sequence[Touchpoint]:
    """Return the sessions of the person who converted, on every device.

    The visit in which it happened counts even if the browser was somebody else's when
    that visit began.
    """
    at_ms, visitor = conversion.converted_at_ms, conversion.visitor
    if not group:
        if visitor is None:
            return []
        return store.touchpoints_of_visitor(tenant, visitor, from_ms, at_ms)
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
