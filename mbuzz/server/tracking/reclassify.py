"""Reclassification: newer lists and rules, applied to the visits that are stored.

Visits are folded again from their events, as if these came in today, and conversions
that used them are credited anew. What is right already is not touched, so it can be
stopped and begun again at any time. Work comes in small transactions, beside a server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from mbuzz.server.model import Landing, Session, Tenant
from mbuzz.server.policy import Policy
from mbuzz.server.storage.port import Storage, Stores
from mbuzz.server.storage.rows.events import ClassifiedSession, EventRow
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.conversions import attribute_again
from mbuzz.server.tracking.landing import read_again, read_landing
from mbuzz.server.tracking.pages import stored_page
from mbuzz.server.tracking.placement import fold_around, window
from mbuzz.server.tracking.sessions import fold
from mbuzz.server.tracking.sources import list_version

_LOOK_AT: Final = 200  # visitors of one reading transaction
_WRITE: Final = 20  # visitors of one writing transaction, which others wait for


@dataclass(slots=True)
class Tally:
    """How many visits were looked at, and what changed of them."""

    visits: int = 0
    channels: Counter[tuple[str, str]] = field(default_factory=Counter)  # old, new
    details: int = 0  # another source, medium, campaign or flag of the same channel
    begun: int = 0  # visits that were part of another one
    joined: int = 0  # visits that became part of another one

    @property
    def changed(self) -> int:
        """Return how many visits are not what they were."""
        return self.channels.total() + self.details + self.begun + self.joined

    def add(self, other: Tally) -> None:
        """Count what *other* counted as well."""
        self.visits += other.visits
        self.channels += other.channels
        self.details += other.details
        self.begun += other.begun
        self.joined += other.joined


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """Visits that no gap separates: as they are stored, and as they should be."""

    at_ms: int
    before: Sequence[ClassifiedSession]
    after: Mapping[int, Landing]  # by first event
    landings: Sequence[tuple[int, Landing]] = ()  # of events, to be replaced


def run(
    storage: Storage,
    tenant: Tenant,
    policy: Policy,
    since_ms: int,
    *,
    dry_run: bool = False,
    on_visitors: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Reclassify a tenant's visits since then, or only count what would change.

    *on_visitors* is told of every few visitors that are done.
    """
    tally = Tally()
    after = 0
    while True:
        chunk = storage.read(
            partial(_next_visitors, tenant=tenant, since_ms=since_ms, after=after)
        )
        if not chunk:
            return tally
        seen, stale = storage.read(
            partial(
                _look, tenant=tenant, policy=policy, visitors=chunk, since_ms=since_ms
            )
        )
        tally.add(seen)
        for first in range(0, 0 if dry_run else len(stale), _WRITE):
            few = stale[first : first + _WRITE]
            storage.write(
                partial(
                    _renew,
                    tenant=tenant,
                    policy=policy,
                    visitors=few,
                    since_ms=since_ms,
                )
            )
        on_visitors(len(chunk))
        after = chunk[-1]


def _next_visitors(
    stores: Stores, *, tenant: Tenant, since_ms: int, after: int
) -> Sequence[int]:
    return stores.tracking.visitors_since(tenant, since_ms, after, _LOOK_AT)


def _look(
    stores: Stores,
    *,
    tenant: Tenant,
    policy: Policy,
    visitors: Sequence[int],
    since_ms: int,
) -> tuple[Tally, Sequence[int]]:
    """Return what would change, and the visitors of whom anything is to be written."""
    tally, stale = Tally(), []
    for visitor in visitors:
        windows = _windows(stores.tracking, tenant, policy, visitor, since_ms)
        for found in windows:
            _count(found, tally)
        if any(_is_stale(found) for found in windows):
            stale.append(visitor)
    return tally, stale


def _renew(
    stores: Stores,
    *,
    tenant: Tenant,
    policy: Policy,
    visitors: Sequence[int],
    since_ms: int,
) -> None:
    """Write what is to be written of a few visitors, as they are by now."""
    store = stores.tracking
    for visitor in visitors:
        changed = [
            found.before[0].started_at_ms
            for found in _windows(store, tenant, policy, visitor, since_ms)
            if _is_stale(found) and _write(store, tenant, policy, visitor, found)
        ]
        if changed:
            attribute_again(
                store, tenant, policy, visitor=visitor, from_ms=min(changed)
            )


def _windows(
    store: TrackingStore, tenant: Tenant, policy: Policy, visitor: int, since_ms: int
) -> list[_Window]:
    found: list[_Window] = []
    done_ms = since_ms - 1
    for session in store.classified_sessions(tenant, visitor, since_ms):
        if session.last_event_at_ms <= done_ms:
            continue
        at_ms = session.started_at_ms
        _, from_ms, to_ms = window(store, tenant, policy, visitor, at_ms)
        before = [
            one
            for one in store.classified_sessions(tenant, visitor, from_ms)
            if one.started_at_ms <= to_ms
        ]
        rows = store.web_events(tenant, visitor, from_ms, to_ms)
        found.append(_window(policy, at_ms, before, rows))
        done_ms = to_ms
    return found


def _window(
    policy: Policy,
    at_ms: int,
    before: Sequence[ClassifiedSession],
    rows: Sequence[EventRow],
) -> _Window:
    """Work out what the visits should be; without their events only their sources."""
    if not {session.first_event for session in before} <= {row.id for row in rows}:
        alone = {one.first_event: _alone(one, policy) for one in before}
        return _Window(at_ms=at_ms, before=before, after=alone)
    landings = []
    current = []
    for row in rows:
        if row.landing is not None:
            landing = read_again(row.landing, row.url, row.referrer, policy)
            if landing != row.landing:
                landings.append((row.id, landing))
                row = replace(row, landing=landing)
        current.append(row)
    folded = fold((stored_page(row, policy) for row in current), policy)
    after = {session.first.row: _source(session) for session in folded}
    return _Window(at_ms=at_ms, before=before, after=after, landings=landings)


def _source(session: Session) -> Landing:
    landing = session.first.landing
    return replace(landing, flags=landing.flags | session.flags)


def _alone(session: ClassifiedSession, policy: Policy) -> Landing:
    """Return the source of a session by what it keeps itself."""
    kept = session.landing
    if kept.utm or kept.click_ids:
        landing = read_again(kept, session.landing_url, session.referrer, policy)
    else:
        landing = read_landing(session.landing_url, session.referrer, policy=policy)
    return replace(landing, flags=landing.flags | (kept.flags & {"internal_utm"}))


def _same(kept: Landing, new: Landing) -> bool:
    """Tell whether a session's columns would stay as they are."""
    return (
        kept.channel,
        kept.source,
        kept.medium,
        kept.campaign,
        dict(kept.utm),
        dict(kept.click_ids),
        kept.flags,
    ) == (
        new.channel,
        new.source,
        new.medium,
        new.campaign,
        dict(new.utm),
        dict(new.click_ids),
        new.flags,
    )


def _count(found: _Window, tally: Tally) -> None:
    tally.visits += len(found.before)
    kept = {session.first_event: session.landing for session in found.before}
    new = found.after
    tally.begun += len(new.keys() - kept.keys())
    tally.joined += len(kept.keys() - new.keys())
    for first in kept.keys() & new.keys():
        if kept[first].channel != new[first].channel:
            tally.channels[kept[first].channel, new[first].channel] += 1
        elif not _same(kept[first], new[first]):
            tally.details += 1


def _is_stale(found: _Window) -> bool:
    kept = {session.first_event: session.landing for session in found.before}
    if found.landings or kept.keys() != found.after.keys():
        return True
    version = list_version()
    return any(one.list_version != version for one in found.before) or any(
        not _same(kept[first], new) for first, new in found.after.items()
    )


def _write(
    store: TrackingStore, tenant: Tenant, policy: Policy, visitor: int, found: _Window
) -> bool:
    """Bring the visits of one window up to date; tell whether credits depend on it."""
    kept = {session.first_event: session for session in found.before}
    moved = kept.keys() != found.after.keys()
    for event, landing in found.landings:
        store.set_landing(tenant, event, landing)
    if moved:
        fold_around(store, tenant, policy, visitor, found.at_ms)
        return True
    for first, new in found.after.items():
        store.set_source(tenant, kept[first].id, new, list_version())
    return any(
        kept[first].landing.channel != new.channel for first, new in found.after.items()
    )
