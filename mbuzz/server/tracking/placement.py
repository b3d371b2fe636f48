"""Where an event belongs: the session fold, applied to what is stored already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbuzz import ids
from mbuzz.server.model import Session, Tenant, WebEvent
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.events import EventRow, SessionRow
from mbuzz.server.storage.tracking_port import TrackingStore
from mbuzz.server.tracking.pages import stored_page
from mbuzz.server.tracking.sessions import fold, is_internal_link, splits
from mbuzz.server.tracking.sources import list_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The session an event is in, and since when touchpoints may be others, if so.

    A session that only became longer may cover what was known to come after it, from
    `covered_from_ms` on.
    """

    session: SessionRow
    changed_from_ms: int | None = None
    covered_from_ms: int | None = None


def place(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor: int,
    row: int,
    event: WebEvent,
) -> Placed:
    """Put a stored web event into its session.

    The newest event can only continue or end the newest session. Any other may join,
    split or shift the sessions around it, so those are folded again.
    """
    latest = store.latest_sessions(tenant, visitor)
    if not latest:
        return _begin(store, tenant, policy, visitor, row, event)
    newest = max(session.last_event_at_ms for session in latest)
    ended_together = len({session.last_event_at_ms for session in latest}) < len(latest)
    sealed = _sealed_near(store, tenant, policy, visitor, event.occurred_at_ms, latest)
    if sealed is not None:
        return _join_sealed(store, tenant, sealed, row, event)
    if event.occurred_at_ms <= newest or ended_together:
        return _fold_again(store, tenant, policy, visitor, row, event.occurred_at_ms)
    session = latest[0]  # of those that began together the one that ended last
    if session.sealed:  # and over
        return _begin(store, tenant, policy, visitor, row, event)
    events = store.web_event_rows(tenant, {session.first_event, session.last_event})
    opening = stored_page(events[session.first_event], policy)
    latest_page = stored_page(events[session.last_event], policy)
    if splits(opening, latest_page, event, policy):
        return _begin(store, tenant, policy, visitor, row, event)
    internal = is_internal_link(opening, event)
    store.extend_session(
        tenant,
        session.id,
        row,
        event.occurred_at_ms,
        int(event.is_page_view),
        frozenset({"internal_utm"} if internal else ()),
    )
    store.set_session(tenant, row, session.id)
    end_ms = session.last_event_at_ms + policy.session_timeout_ms
    if not store.knows_later(tenant, visitor, end_ms):
        return Placed(session=session)
    _attach(store, tenant, policy, visitor, end_ms, event.occurred_at_ms)
    return Placed(session=session, covered_from_ms=end_ms)


def _sealed_near(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor: int,
    at_ms: int,
    latest: Sequence[SessionRow],
) -> SessionRow | None:
    """Return the session that an event is in or beside, if that one is sealed."""
    timeout_ms = policy.session_timeout_ms
    near = latest  # others ended before these
    if at_ms < max(session.last_event_at_ms for session in latest):
        near = store.sessions_between(
            tenant, visitor, at_ms - timeout_ms, at_ms + timeout_ms
        )
    if not any(session.sealed for session in near):
        return None
    begun = [session for session in near if session.started_at_ms <= at_ms]
    home = max(
        (one for one in begun if at_ms < one.last_event_at_ms + timeout_ms),
        key=_begin_of,
        default=None,
    )
    if home is None and len(begun) < len(near):
        home = min((one for one in near if one not in begun), key=_begin_of)
        if home.started_at_ms - timeout_ms >= at_ms:
            return None
    return home if home is not None and home.sealed else None


def _begin_of(session: SessionRow) -> tuple[int, int]:
    return session.started_at_ms, session.last_event_at_ms


def _join_sealed(
    store: TrackingStore, tenant: Tenant, session: SessionRow, row: int, event: WebEvent
) -> Placed:
    """Let a late event join a session whose events are deleted.

    Nobody can tell any more whether it splits it, or came first: the session keeps its
    source and its begin, and only becomes longer.
    """
    store.extend_session(
        tenant,
        session.id,
        session.last_event,
        max(session.last_event_at_ms, event.occurred_at_ms),
        int(event.is_page_view),
        frozenset(),
    )
    store.set_session(tenant, row, session.id)
    return Placed(session=session)


def _attach(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor: int,
    from_ms: int,
    last_ms: int,
) -> None:
    """Give server events their sessions, up to when the last one's time is over."""
    timeout_ms = policy.session_timeout_ms
    store.attach_server_events(
        tenant, visitor, from_ms, last_ms + timeout_ms, timeout_ms
    )


def _begin(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor: int,
    row: int,
    event: WebEvent,
) -> Placed:
    session = _insert(store, tenant, visitor, Session(events=(event,)), row, row)
    store.set_session(tenant, row, session)
    at_ms = event.occurred_at_ms
    if store.knows_later(tenant, visitor, at_ms):
        _attach(store, tenant, policy, visitor, at_ms, at_ms)
    return Placed(session=store.session(tenant, session), changed_from_ms=at_ms)


def _insert(
    store: TrackingStore,
    tenant: Tenant,
    visitor: int,
    session: Session,
    first_event: int,
    last_event: int,
) -> int:
    return store.insert_session(
        tenant,
        visitor,
        ids.time_ordered("sess", session.first.occurred_at_ms),
        session,
        first_event,
        last_event,
        list_version(),
    )


def _fold_again(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor: int,
    row: int,
    at_ms: int,
) -> Placed:
    home = fold_around(store, tenant, policy, visitor, at_ms).get(row)
    assert home is not None, "the fold lost an event"
    return Placed(session=store.session(tenant, home), changed_from_ms=at_ms)


def fold_around(
    store: TrackingStore, tenant: Tenant, policy: Policy, visitor: int, at_ms: int
) -> Mapping[int, int]:
    """Fold what lies between the nearest gaps around *at_ms*; no more can change.

    The result is the session of every web event there.
    """
    before, from_ms, to_ms = window(store, tenant, policy, visitor, at_ms)
    walls = _sealed_ids(store, tenant, policy, visitor, from_ms, to_ms)
    rows = [
        stored
        for stored in store.web_events(tenant, visitor, from_ms, to_ms)
        if stored.session not in walls
    ]
    row_of = {stored.id: stored for stored in rows}
    folded = fold((stored_page(stored, policy) for stored in rows), policy)
    keepers = _keep_ids(folded, row_of, before)
    for old in before:
        if old.id not in keepers:
            store.delete_session(tenant, old.id)
    homes: dict[int, int] = {}
    for session, keeper in zip(folded, keepers, strict=True):
        members = [row_of[event.row] for event in session.events]
        ends = members[0].id, members[-1].id
        if keeper is None:
            keeper = _insert(store, tenant, visitor, session, *ends)
        else:
            store.update_session(tenant, keeper, session, *ends, list_version())
        for member in members:
            if member.session != keeper:
                store.set_session(tenant, member.id, keeper)
            homes[member.id] = keeper
    _attach(store, tenant, policy, visitor, from_ms, to_ms)
    return homes


def window(
    store: TrackingStore, tenant: Tenant, policy: Policy, visitor: int, at_ms: int
) -> tuple[Sequence[SessionRow], int, int]:
    """Return the sessions that no gap separates from *at_ms*, and their extent."""
    from_ms = to_ms = at_ms
    timeout_ms = policy.session_timeout_ms
    while True:
        sessions = [
            session
            for session in store.sessions_between(
                tenant, visitor, from_ms - timeout_ms, to_ms + timeout_ms
            )
            if not session.sealed
        ]
        earliest = min([at_ms, *(session.started_at_ms for session in sessions)])
        latest = max([at_ms, *(session.last_event_at_ms for session in sessions)])
        if (earliest, latest) == (from_ms, to_ms):
            return sessions, from_ms, to_ms
        from_ms, to_ms = earliest, latest


def _sealed_ids(
    store: TrackingStore,
    tenant: Tenant,
    policy: Policy,
    visitor: int,
    from_ms: int,
    to_ms: int,
) -> set[int]:
    """Return the sessions in a window whose late events are no others'."""
    timeout_ms = policy.session_timeout_ms
    return {
        session.id
        for session in store.sessions_between(
            tenant, visitor, from_ms - timeout_ms, to_ms + timeout_ms
        )
        if session.sealed
    }


def _keep_ids(
    folded: Sequence[Session],
    row_of: Mapping[int, EventRow],
    before: Sequence[SessionRow],
) -> list[int | None]:
    """Return the stored session that each folded one goes on as, None for a new one.

    A session keeps its id while its first event still begins one; otherwise the id
    goes with the earliest of its events that has no other home.
    """
    begun_by = {session.first_event: session.id for session in before}
    keepers = [begun_by.get(session.first.row) for session in folded]
    free = {session.id for session in before} - set(keepers)
    for index, session in enumerate(folded):
        if keepers[index] is not None:
            continue
        homes = (row_of[event.row].session for event in session.events)
        keepers[index] = next((home for home in homes if home in free), None)
        free.discard(keepers[index] or 0)
    return keepers
