"""Many calls at once: what is plain goes a fast way, all else one by one.

The result is that of `processor.process` for one call after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mbuzz.server.model import Call, Tenant, TrackCall
from mbuzz.server.policy import Policy
from mbuzz.server.storage.port import Stores
from mbuzz.server.tracking.plain import PlainEvents
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.recorded import Recorded


class Batch(NamedTuple):
    """The well-formed calls of one request."""

    tenant: Tenant
    policy: Policy
    calls: Sequence[Call]


def record(stores: Stores, batches: Sequence[Batch]) -> list[list[Recorded]]:
    """Carry out every call, in order, and return what became of each."""
    events_of: dict[Tenant, list[TrackCall]] = {}
    for batch in batches:
        events = events_of.setdefault(batch.tenant, [])
        events += [call for call in batch.calls if type(call) is TrackCall]
    plain = {
        tenant: PlainEvents(stores.bulk, tenant, events)
        for tenant, events in events_of.items()
    }
    recorded = [_record(stores, batch, plain[batch.tenant]) for batch in batches]
    for events_of_tenant in plain.values():
        events_of_tenant.flush()
    return recorded


def _record(stores: Stores, batch: Batch, plain: PlainEvents) -> list[Recorded]:
    recorded: list[Recorded] = []
    for call in batch.calls:
        done: Recorded | None = None
        if type(call) is TrackCall:
            done = plain.take(call, batch.policy)
        if done is None:
            plain.flush()  # one by one, the database must have all that came before
            done = process(stores.tracking, batch.tenant, batch.policy, call)
            plain.after(call, done)
        recorded.append(done)
    return recorded
