"""Many calls at once: what is plain goes a fast way, all else one by one.

The result is that of `processor.process` for one call after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mbuzz.server.model import Call, Tenant, TrackCall
from mbuzz.server.policy import Policy
from mbuzz.server.storage.port import Stores
from mbuzz.server.tracking.memory import Memory
from mbuzz.server.tracking.plain import PlainEvents
from mbuzz.server.tracking.processor import process
from mbuzz.server.tracking.recorded import Recorded


class Batch(NamedTuple):
    """The well-formed calls of one request."""

    tenant: Tenant
    policy: Policy
    calls: Sequence[Call]


class Intake:
    """Takes batches, for one transaction at a time."""

    def __init__(self) -> None:
        self._memory = Memory()

    def record(self, stores: Stores, batches: Sequence[Batch]) -> list[list[Recorded]]:
        """Carry out every call, each tenant's in order; return what became of each."""
        of_tenants: dict[Tenant, list[int]] = {}
        for index, batch in enumerate(batches):
            of_tenants.setdefault(batch.tenant, []).append(index)
        recorded: list[list[Recorded]] = [[]] * len(batches)
        self._memory.begin(stores.bulk.stamp())
        for tenant, indexes in of_tenants.items():
            done = self._record(stores, tenant, [batches[index] for index in indexes])
            for index, of_batch in zip(indexes, done, strict=True):
                recorded[index] = of_batch
        self._memory.end(stores.bulk.stamp())
        return recorded

    def _record(
        self, stores: Stores, tenant: Tenant, batches: Sequence[Batch]
    ) -> list[list[Recorded]]:
        """Carry out all calls of one tenant."""
        calls = (call for batch in batches for call in batch.calls)
        events = [call for call in calls if type(call) is TrackCall]
        memory = self._memory
        known = memory.recall(tenant, batches[0].policy)
        plain = PlainEvents(stores.bulk, tenant, events, known, memory.next_rows)
        recorded: list[list[Recorded]] = []
        one_by_one = False
        for batch in batches:
            plain.under(batch.policy)
            of_batch: list[Recorded] = []
            for call in batch.calls:
                done: Recorded | None = None
                if type(call) is TrackCall:
                    done = plain.take(call, batch.policy)
                if done is None:
                    one_by_one = True
                    done = _process(stores, batch, plain, call)
                of_batch.append(done)
            recorded.append(of_batch)
        plain.flush()  # before another tenant's rows are numbered
        memory.next_rows = plain.next_rows
        if one_by_one:  # whom else that has changed, nobody can tell
            memory.forget(tenant)
        else:
            memory.keep(tenant, plain.visitors)
        return recorded


def _process(stores: Stores, batch: Batch, plain: PlainEvents, call: Call) -> Recorded:
    """Carry out a call that is not plain; the database must have all before it."""
    stores.check_time()
    plain.flush()
    done = process(stores.tracking, batch.tenant, batch.policy, call)
    plain.after(call, done)
    return done
