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
    """Carry out every call, each tenant's in order; return what became of each."""
    of_tenants: dict[Tenant, list[int]] = {}
    for index, batch in enumerate(batches):
        of_tenants.setdefault(batch.tenant, []).append(index)
    recorded: list[list[Recorded]] = [[]] * len(batches)
    for tenant, indexes in of_tenants.items():
        mine = [batches[index] for index in indexes]
        calls = (call for batch in mine for call in batch.calls)
        events = [call for call in calls if type(call) is TrackCall]
        plain = PlainEvents(stores.bulk, tenant, events)
        for index in indexes:
            recorded[index] = _record(stores, batches[index], plain)
        plain.flush()  # before another tenant's rows are numbered
    return recorded


def _record(stores: Stores, batch: Batch, plain: PlainEvents) -> list[Recorded]:
    recorded: list[Recorded] = []
    plain.under(batch.policy)
    for call in batch.calls:
        done: Recorded | None = None
        if type(call) is TrackCall:
            done = plain.take(call, batch.policy)
        if done is None:
            stores.check_time()
            plain.flush()  # one by one, the database must have all that came before
            done = process(stores.tracking, batch.tenant, batch.policy, call)
            plain.after(call, done)
        recorded.append(done)
    return recorded
