"""Plain events: those that begin, continue or fall into their visitor's newest session.

Nothing that was stored before changes with such an event, other than that session's
end. So what a whole batch must know is asked in a few questions, what it adds is
written in a few statements, and each event is placed in memory in between.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from mbuzz.server.model import (
    Call,
    ConversionCall,
    Tenant,
    TrackCall,
    WebEvent,
)
from mbuzz.server.policy import Policy
from mbuzz.server.storage.privacy_port import NamedId
from mbuzz.server.storage.rows.bulk import (
    BulkRows,
    EventLine,
    LinkRow,
    Tail,
)
from mbuzz.server.storage.rows.events import event_hour
from mbuzz.server.storage.tracking_port import BulkStore
from mbuzz.server.tracking.bots import MOST_A_MINUTE, judge
from mbuzz.server.tracking.memory import Known
from mbuzz.server.tracking.open_sessions import (
    KnownVisitor,
    OpenSession,
    longer_session,
    new_session,
)
from mbuzz.server.tracking.pages import Page, flags_of, page_of
from mbuzz.server.tracking.privacy import kept_properties, kept_user_agent
from mbuzz.server.tracking.recorded import ConversionRecorded, EventRecorded, Recorded
from mbuzz.server.tracking.sessions import splits
from mbuzz.server.tracking.sources import list_version
from mbuzz.server.tracking.suppression import ids_in, suppressed_ids

_MANY_VIEWS: Final = MOST_A_MINUTE  # then `process` looks whether it is a program


class PlainEvents:
    """One tenant's plain events of a batch; the caller sees to all others."""

    def __init__(
        self,
        store: BulkStore,
        tenant: Tenant,
        calls: Sequence[TrackCall],
        known: Known,
        next_rows: tuple[int, int, int] | None,
    ) -> None:
        self._store = store
        self._tenant = tenant
        self.visitors: dict[str, KnownVisitor] = {}  # those of the calls
        self._seen: dict[tuple[int, str], EventRecorded] = {}
        self._touched: dict[int, OpenSession] = {}
        self._new_visitors: list[tuple[int, str, int]] = []
        self._lines: list[EventLine] = []
        self._confirmed: dict[int, tuple[LinkRow, int]] = {}
        self._numbered = next_rows is not None
        self._next_visitor, self._next_session, self._next_event = next_rows or (0,) * 3
        self._converted = False
        self._policy: Policy | None = None
        self._suppressed: set[NamedId] = set()
        if calls:
            if known.suppresses is None:
                known.suppresses = store.suppresses(tenant)
            if known.suppresses:
                self._suppressed = suppressed_ids(store, tenant, calls)
            self._prefetch(calls, known.visitors)

    # -- what is known before --

    def _prefetch(
        self, calls: Sequence[TrackCall], remembered: Mapping[str, KnownVisitor]
    ) -> None:
        by_hour: dict[int, list[str]] = {}
        from_ms = min(call.occurred_at_ms for call in calls)
        unknown: list[str] = []
        for call in calls:
            hour = event_hour(call.said_ms, call.received_at_ms)
            by_hour.setdefault(hour, []).append(call.event_id)
            if call.said_ms is None:
                by_hour.setdefault(hour - 1, []).append(call.event_id)
            if call.visitor_id is not None and call.visitor_id not in self.visitors:
                found = remembered.get(call.visitor_id)
                if found is None or from_ms < found.from_ms:
                    found = KnownVisitor(from_ms)
                    unknown.append(call.visitor_id)
                self.visitors[call.visitor_id] = found
        for hour, event_ids in by_hour.items():
            known = self._store.known_events(self._tenant, hour, event_ids)
            for event_id, stored in known.items():
                self._seen[hour, event_id] = EventRecorded(
                    event_id,
                    stored.event_type,
                    stored.visitor_id,
                    stored.session_id,
                    duplicate=True,
                )
        # Whether anybody has converted is not remembered.
        self._converted = len(unknown) < len(self.visitors)
        if unknown:
            known_visitors = self._store.known_visitors(self._tenant, unknown)
            if known_visitors:
                self._know(known_visitors, from_ms)

    def _know(self, known: Mapping[str, int], from_ms: int) -> None:
        store, tenant = self._store, self._tenant
        rows = list(known.values())
        tails = store.tails(tenant, rows)
        later = store.with_later_server_events(tenant, rows, from_ms)
        links = store.links_of(tenant, rows)
        converted: Collection[int] = ()
        if store.any_converted_since(tenant, from_ms):
            self._converted = True
            converted = store.converted_since(tenant, rows, from_ms)
        for visitor_id, row in known.items():
            visitor = self.visitors[visitor_id]
            visitor.id, visitor.new = row, False
            visitor.plain = row not in later and row not in converted
            self._set_tail(visitor, tails.get(row, ()))
            for link in links.get(row, ()):
                visitor.linked = True
                if link.current:
                    visitor.link, visitor.said_ms = link, link.said_ms

    @staticmethod
    def _set_tail(visitor: KnownVisitor, tails: Sequence[Tail]) -> None:
        if not tails:
            return
        visitor.visit = OpenSession.stored(tails[0], visitor.id)
        # Sessions of the same millisecond, or one that outlasts a later one: fold.
        if len(tails) > 1 and tails[1].last_event_at_ms >= tails[0].last_event_at_ms:
            visitor.plain = False
        if tails[0].sealed or any(t.page_view_count >= _MANY_VIEWS for t in tails):
            visitor.plain = False

    # -- one event after the other --

    def under(self, policy: Policy) -> None:
        """Go on under *policy*; what was read under another one is not relied on."""
        if self._policy is not None and policy is not self._policy:
            for visitor in self.visitors.values():
                visitor.plain = False
        self._policy = policy

    def take(self, call: TrackCall, policy: Policy) -> EventRecorded | None:
        """Place *call*, if it is plain; else return None, and nothing has changed."""
        if call.refused or (self._suppressed and self._is_suppressed(call)):
            return None
        visitor = self.visitors.get(call.visitor_id or "")
        if policy.strict_visitors and visitor is not None and visitor.new:
            return None
        hour = event_hour(call.said_ms, call.received_at_ms)
        seen = self._seen.get((hour, call.event_id))
        if seen is None and call.said_ms is None:
            seen = self._seen.get((hour - 1, call.event_id))
        if seen is not None:
            return seen._replace(bot=False, duplicate=True)
        if visitor is None or not visitor.plain:
            return None
        if call.user_id is not None and not (
            policy.auto_link and _is_known_as(visitor, call)
        ):
            return None
        page = page_of(call, policy)
        reason = judge(call, policy) if page is not None else None
        if reason is None and not self._fits(visitor, call, page):
            return None
        return self._keep(visitor, call, policy, hour, page, reason)

    def _keep(
        self,
        visitor: KnownVisitor,
        call: TrackCall,
        policy: Policy,
        hour: int,
        page: Page | None,
        reason: str | None,
    ) -> EventRecorded:
        self._take_numbers()
        if visitor.new:
            self._add_visitor(visitor, call)
        identity = None
        if call.user_id is not None and visitor.link is not None:
            identity = visitor.link.identity
            if call.occurred_at_ms > visitor.said_ms:
                visitor.said_ms = call.occurred_at_ms
                self._confirmed[visitor.id] = visitor.link, call.occurred_at_ms
        row = self._next_event
        self._next_event += 1
        visit = None
        if reason is None:
            visit = self._place(visitor, call, page, row, policy)
        self._lines.append(
            _line(row, hour, call, visitor.id, identity, visit, page, reason, policy)
        )
        session_id = call.session_id
        if session_id is None and visit is not None:
            session_id = visit.client_session_id or visit.public_id
        done = EventRecorded(
            call.event_id,
            call.event_type,
            call.visitor_id,
            session_id,
            reason is not None,
        )
        self._seen[hour, call.event_id] = done
        return done

    def _is_suppressed(self, call: TrackCall) -> bool:
        return not self._suppressed.isdisjoint(ids_in(call))

    @staticmethod
    def _fits(visitor: KnownVisitor, call: TrackCall, page: Page | None) -> bool:
        """Tell whether the event is after all that is known, or in the last visit."""
        visit = visitor.visit
        if page is None:
            return visit is None or visit.started_at_ms <= call.occurred_at_ms
        if call.occurred_at_ms <= visitor.server_ms:
            return False
        return visit is None or visit.last.occurred_at_ms < call.occurred_at_ms

    def _place(
        self,
        visitor: KnownVisitor,
        call: TrackCall,
        page: Page | None,
        row: int,
        policy: Policy,
    ) -> OpenSession | None:
        visit = visitor.visit
        at_ms = call.occurred_at_ms
        if page is None:
            visitor.server_ms = max(visitor.server_ms, at_ms)
            if visit is None:
                return None
            end_ms = visit.last.occurred_at_ms + policy.session_timeout_ms
            return visit if at_ms < end_ms else None
        event = page.event
        if visit is not None:
            opening = visit.opening(policy)
            if not splits(opening, visit.last, event, policy):
                visit.append(event, row, opening)
                self._count(visitor, visit, event)
                return visit
        visit = visitor.visit = OpenSession.begun(
            self._next_session, visitor.id, event, row
        )
        self._next_session += 1
        self._count(visitor, visit, event)
        return visit

    def _count(
        self, visitor: KnownVisitor, visit: OpenSession, event: WebEvent
    ) -> None:
        self._touched[visit.id] = visit
        visit.views += event.is_page_view
        if visit.views >= _MANY_VIEWS:
            visitor.plain = False

    def _add_visitor(self, visitor: KnownVisitor, call: TrackCall) -> None:
        assert call.visitor_id is not None
        visitor.id, visitor.new = self._next_visitor, False
        self._next_visitor += 1
        seen_ms = call.occurred_at_ms
        self._new_visitors.append((visitor.id, call.visitor_id, seen_ms))

    def _take_numbers(self) -> None:
        if not self._numbered:
            self._numbered = True
            free = self._store.next_rows()
            self._next_visitor, self._next_session, self._next_event = free

    @property
    def next_rows(self) -> tuple[int, int, int] | None:
        """Return the next free rows; None if they must be asked for."""
        if not self._numbered:
            return None
        return self._next_visitor, self._next_session, self._next_event

    # -- beside the others --

    def after(self, call: Call, done: Recorded) -> None:
        """Note what a call that was carried out by itself may have changed."""
        self._numbered = False
        names: set[object] = {
            getattr(call, "visitor_id", None),
            getattr(call, "previous_id", None),
        }
        if isinstance(done, ConversionRecorded):
            names.add(done.conversion.visitor_id)
        for name in self.visitors.keys() & names:
            self.visitors[name].plain = False
        if isinstance(call, TrackCall):
            hour = event_hour(call.said_ms, call.received_at_ms)
            if isinstance(done, EventRecorded) and self._is_new(call, done):
                self._seen[hour, call.event_id] = done
            if call.user_id is None:
                return
        if isinstance(call, ConversionCall):
            self._converted = True
        if self._converted:
            for visitor in self.visitors.values():
                if visitor.linked:
                    visitor.plain = False

    def _is_new(self, call: TrackCall, done: EventRecorded) -> bool:
        """Tell whether an event was stored just now, not before and not dropped."""
        return not (done.duplicate or done.dropped or self._is_suppressed(call))

    def flush(self) -> None:
        """Store what was taken."""
        if not self._lines:
            return
        version = list_version()
        new = [visit for visit in self._touched.values() if visit.new]
        longer = [visit for visit in self._touched.values() if not visit.new]
        self._store.save(
            self._tenant,
            BulkRows(
                visitors=self._new_visitors,
                sessions=[new_session(visit, version) for visit in new],
                events=self._lines,
                longer=[longer_session(visit) for visit in longer],
                confirmed=self._confirmed,
            ),
        )
        for visit in self._touched.values():
            visit.new = False
            visit.added = []
            visit.flags = frozenset()
        self._touched, self._confirmed = {}, {}
        self._new_visitors, self._lines = [], []


def _is_known_as(visitor: KnownVisitor, call: TrackCall) -> bool:
    """Tell whether the call says nothing new about who the visitor is."""
    return visitor.link is not None and visitor.link.user_id == call.user_id


def _line(
    row: int,
    hour: int,
    call: TrackCall,
    visitor: int,
    identity: int | None,
    visit: OpenSession | None,
    page: Page | None,
    reason: str | None,
    policy: Policy,
) -> EventLine:
    said_ms = call.said_ms
    return EventLine(
        row,
        hour,
        call.event_id,
        call.event_type,
        visitor,
        identity,
        None if visit is None else visit.id,
        call.session_id,
        call.occurred_at_ms,
        call.received_at_ms,
        None if said_ms == call.occurred_at_ms else said_ms,
        None if page is None else page.event.url,
        None if page is None else page.event.referrer,
        None if page is None else page.kept_landing,
        kept_user_agent(call.user_agent, policy),
        reason,
        flags_of(call, page),
        kept_properties(call.properties, policy),
    )
