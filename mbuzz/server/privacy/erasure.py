"""Erasing a person: what goes, what stays without a name, and that nothing returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from mbuzz import ids
from mbuzz.clock import Clock
from mbuzz.server.jobs import DAY_MS, Job, Steps
from mbuzz.server.model import Tenant
from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.privacy.refold import fold_rest
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.privacy_port import (
    NOBODY,
    ErasedEvent,
    Erasure,
    NamedId,
    Person,
)

AT_ONCE: Final = 1_000  # rows; more are erased by the job, so many at a time
SUPPRESSED_MS: Final = 30 * DAY_MS
FULL: Final = "full"  # the setting that conversions are deleted, too

Find = Callable[[Stores], Person | None]
Counts = Mapping[str, int]


def erase(
    storage: Storage,
    clock: Clock,
    tenant: Tenant,
    find: Find,
    named: NamedId | None,
    actor: str,
) -> Erasure | None:
    """Erase whom *find* finds; return how far that is, None if nobody is there.

    A person of few rows is gone when this returns; more are left to the job. The ids
    are suppressed from now on. Somebody who was erased before, as the suppressed
    *named* says, is erased again, of which nothing comes.
    """
    now_ms = clock.now_ms()

    def work(stores: Stores) -> Erasure | None:
        store = stores.privacy
        person = find(stores)
        if person is None:
            known = named is not None and store.suppressed(tenant, [named], now_ms)
            person = NOBODY if known else None
        if person is None:
            return None
        running = store.open_erasure(tenant, person) if person != NOBODY else None
        if running is not None:
            return running
        store.set_secret(tenant, ids.token(32))
        store.suppress(tenant, store.ids_of(tenant, person), now_ms + SUPPRESSED_MS)
        erasure = store.add_erasure(
            tenant, ids.time_ordered("job", now_ms), actor, person, now_ms
        )
        if store.rows_of(tenant, person, AT_ONCE) > AT_ONCE:
            return erasure
        while erasure.status != "done":
            erasure = step(stores, erasure, now_ms)
        return erasure

    erasure = storage.write(work)
    if erasure is not None and erasure.status == "done" and storage.scrub():
        storage.write(lambda stores: stores.privacy.set_scrubbed())
    return erasure


def step(stores: Stores, erasure: Erasure, now_ms: int) -> Erasure:
    """Erase some rows more; the last step finds nothing left, and says so."""
    for part in (_events, _sessions, _conversions, _people):
        counts = part(stores, erasure, now_ms)
        if counts:
            erasure = replace(
                erasure, status="running", counts=_sum(erasure.counts, counts)
            )
            stores.privacy.save_erasure(erasure.tenant, erasure)
            return erasure
    done = replace(erasure, status="done", person=NOBODY, finished_at_ms=now_ms)
    stores.privacy.save_erasure(erasure.tenant, done)
    stores.accounts.audit(
        erasure.tenant.account_id,
        now_ms,
        erasure.actor,
        "data.erase",
        {
            "job": erasure.public_id,
            "environment": erasure.tenant.environment,
            **erasure.counts,
        },
    )
    return done


def _sum(one: Counts, other: Counts) -> Counts:
    return {
        name: one.get(name, 0) + other.get(name, 0)
        for name in [*one, *(name for name in other if name not in one)]
    }


def _events(stores: Stores, erasure: Erasure, now_ms: int) -> Counts:
    """Delete events, and leave of each that it was here, as a digest of its id."""
    store, tenant = stores.privacy, erasure.tenant
    events = store.events_of(tenant, erasure.person, AT_ONCE)
    store.delete_events(tenant, [event.id for event in events])
    store.suppress(
        tenant,
        [("event", event.event_id) for event in events],
        now_ms + SUPPRESSED_MS,
    )
    _fold_shared(stores, erasure, events)
    return {"events": len(events)} if events else {}


def _fold_shared(
    stores: Stores, erasure: Erasure, events: Sequence[ErasedEvent]
) -> None:
    """Make the sessions anew that others' events are left in."""
    touched = {
        (event.visitor, event.session)
        for event in events
        if event.visitor is not None and event.session is not None
    }
    remaining = [
        (visitor, session)
        for visitor, session in sorted(touched)
        if visitor not in erasure.person.visitors
    ]
    if remaining:
        policy = _policy(stores, erasure.tenant)
        for visitor, session in remaining:
            fold_rest(stores, erasure.tenant, policy, visitor, session)


def _sessions(stores: Stores, erasure: Erasure, _now_ms: int) -> Counts:
    store, tenant = stores.privacy, erasure.tenant
    sessions = store.sessions_of(tenant, erasure.person, AT_ONCE)
    for session in sessions:
        store.drop_session(tenant, session)
    return {"sessions": len(sessions)} if sessions else {}


def _conversions(stores: Stores, erasure: Erasure, now_ms: int) -> Counts:
    """Take the person out of conversions; the sums of reports stay what they were."""
    store, tenant = stores.privacy, erasure.tenant
    full = _settings(stores, tenant).get("erase_conversions") == FULL
    conversions = store.conversions_of_person(tenant, erasure.person, AT_ONCE)
    named: list[NamedId] = []
    for conversion in conversions:
        named.append(("conversion", conversion.public_id))
        if conversion.dedupe_key is not None:
            named.append(("order", conversion.dedupe_key))
        if full:
            store.delete_conversion(tenant, conversion.id)
        else:
            store.anonymise(
                tenant,
                conversion.id,
                ids.time_ordered("conv", conversion.converted_at_ms),
            )
    store.suppress(tenant, named, now_ms + SUPPRESSED_MS)
    name = "conversions_deleted" if full else "conversions_anonymised"
    return {name: len(conversions)} if conversions else {}


def _people(stores: Stores, erasure: Erasure, _now_ms: int) -> Counts:
    store, tenant, person = stores.privacy, erasure.tenant, erasure.person
    store.forget_visitors(tenant, person)
    store.delete_replies_about(tenant, store.public_ids_of(tenant, person))
    counts = {**store.untie(tenant, person), **store.delete_people(tenant, person)}
    return {name: count for name, count in counts.items() if count}


def _policy(stores: Stores, tenant: Tenant) -> Policy:
    for account in stores.accounts.accounts():
        if account.id == tenant.account_id:
            return account.policy
    return DEFAULT


def _settings(stores: Stores, tenant: Tenant) -> Mapping[str, object]:
    for account in stores.privacy.kept_accounts():
        if account.id == tenant.account_id:
            settings: Mapping[str, object] = json.loads(account.settings)
            return settings
    return {}


def erase_pending(storage: Storage, clock: Clock) -> Steps:
    """Carry out what was too large to be done at once, then empty the journal."""
    count = 0
    while True:
        erasure = storage.read(lambda stores: stores.privacy.next_erasure())
        if erasure is None:
            break
        while erasure.status != "done":
            erasure = storage.write(partial(_next_step, erasure, clock.now_ms()))
            yield
        count += 1
    if storage.read(lambda stores: stores.privacy.unscrubbed()) and storage.scrub():
        storage.write(lambda stores: stores.privacy.set_scrubbed())
    return f"{count} erasures" if count else ""


def _next_step(erasure: Erasure, now_ms: int, stores: Stores) -> Erasure:
    return step(stores, erasure, now_ms)


def _is_pending(stores: Stores) -> bool:
    return stores.privacy.next_erasure() is not None or stores.privacy.unscrubbed()


JOBS: Final = (
    Job(
        name="erasures",
        about="erases people of whom much is known",
        work=erase_pending,
        pending=_is_pending,
    ),
)
