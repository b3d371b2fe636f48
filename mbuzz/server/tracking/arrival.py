"""Landings: a visit that a client announces, and the channel that it came by."""

from __future__ import annotations

from dataclasses import dataclass

from mbuzz.server.model import Tenant, TrackCall
from mbuzz.server.policy import Policy
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.pages import page_of
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.recorded import EventRecorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """A landing is stored; `channel` is that of the visit it begins or goes on."""

    event: EventRecorded
    channel: str


def record_landing(
    store: TrackingStore, tenant: Tenant, policy: Policy, call: TrackCall
) -> Landed:
    """Store a landing and say what channel the visit came by.

    Who announces a visit introduces its visitor, also where an account asks events to
    be of visitors that are known.
    """
    if call.visitor_id is not None:
        store.ensure_visitor(tenant, call.visitor_id, call.occurred_at_ms)
    recorded = process(store, tenant, policy, call)
    assert isinstance(recorded, EventRecorded), "nobody to be refused"
    stored = store.repeated(tenant, call)
    channel = store.channel_of_event(tenant, stored.id) if stored is not None else None
    if channel is None:  # no visit came of it, such as of a bot's
        page = page_of(call, policy)
        channel = page.event.landing.channel if page is not None else "direct"
    return Landed(event=recorded, channel=channel)
