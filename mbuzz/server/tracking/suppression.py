"""Calls about people who were erased: they are answered, and not kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mbuzz.server.model import (
    AliasCall,
    Call,
    ConversionCall,
    GroupCall,
    IdentifyCall,
    Tenant,
    TrackCall,
)
from mbuzz.server.storage.privacy_port import NamedId, SuppressionStore


def kept(store: SuppressionStore, tenant: Tenant, call: Call) -> Call | None:
    """Return what may be kept of a call, all of it as a rule; None if nothing may.

    A group call that names somebody erased still tells of the group.
    """
    if not store.suppresses(tenant):
        return call
    now_ms = (
        call.received_at_ms
        if isinstance(call, TrackCall | ConversionCall)
        else call.at_ms
    )
    if not store.suppressed(tenant, ids_in(call), now_ms):
        return call
    if isinstance(call, GroupCall):
        return replace(call, user_id=None, visitor_id=None)
    return None


def suppressed_ids(
    store: SuppressionStore, tenant: Tenant, calls: Sequence[TrackCall]
) -> set[NamedId]:
    """Return the ids in many calls that are suppressed."""
    return store.suppressed(
        tenant,
        {named for call in calls for named in ids_in(call)},
        min(call.received_at_ms for call in calls),
    )


def ids_in(call: Call) -> Sequence[NamedId]:
    """Return every id in a call that erasing somebody may have suppressed."""
    match call:
        case TrackCall():
            named = [
                ("visitor", call.visitor_id),
                ("user", call.user_id),
                ("event", call.event_id),
            ]
        case ConversionCall():
            named = [
                ("visitor", call.visitor_id),
                ("user", call.user_id),
                ("event", call.event_id),
                ("conversion", call.conversion_id),
                ("order", call.dedupe_key),
            ]
        case AliasCall():
            named = [
                ("user", call.user_id),
                ("user", call.previous_id),
                ("visitor", call.previous_id),
            ]
        case IdentifyCall() | GroupCall():
            named = [("visitor", call.visitor_id), ("user", call.user_id)]
    return [(kind, text) for kind, text in named if text is not None]
