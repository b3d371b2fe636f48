"""What is known of visitors while a batch is placed, and what it adds to it."""

from __future__ import annotations

from typing import Final

from mbuzz import ids
from mbuzz.server.model import Session, WebEvent
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.bulk import LinkRow, LongerSession, NewSession, Tail
from mbuzz.server.tracking.pages import stored_landing
from mbuzz.server.tracking.sessions import INTERNAL_UTM, is_internal_link

_INTERNAL: Final = frozenset({INTERNAL_UTM})


class OpenSession:
    """A visitor's newest session, as it is with what this batch adds to it."""

    __slots__ = (
        "added",
        "client_session_id",
        "first",
        "first_row",
        "flags",
        "id",
        "last",
        "last_row",
        "new",
        "public_id",
        "tail",
        "views",
        "visitor",
    )

    def __init__(
        self, row: int, visitor: int, public_id: str, client_session_id: str | None
    ) -> None:
        self.id = row
        self.visitor = visitor
        self.public_id = public_id
        self.client_session_id = client_session_id
        self.tail: Tail | None = None
        self.first: WebEvent | None = None  # read from `tail` when it is asked for
        self.last: WebEvent
        self.first_row = 0
        self.last_row = 0
        self.views = 0
        self.new = False
        self.added: list[WebEvent] = []  # not stored yet
        self.flags: frozenset[str] = frozenset()

    @classmethod
    def stored(cls, tail: Tail, visitor: int) -> OpenSession:
        """Return a session as it is stored."""
        visit = cls(tail.id, visitor, tail.public_id, tail.client_session_id)
        visit.tail = tail
        visit.views = tail.page_view_count
        visit.last = WebEvent(
            "", tail.last_event_at_ms, "", client_session_id=tail.last_client_session_id
        )
        return visit

    @classmethod
    def begun(
        cls, row: int, visitor: int, event: WebEvent, event_row: int
    ) -> OpenSession:
        """Return a session that *event* begins."""
        public_id = ids.time_ordered("sess", event.occurred_at_ms)
        visit = cls(row, visitor, public_id, event.client_session_id)
        visit.first = visit.last = event
        visit.first_row = visit.last_row = event_row
        visit.new = True
        visit.added.append(event)
        return visit

    @property
    def started_at_ms(self) -> int:
        """Return when the session began."""
        if self.tail is not None:
            return self.tail.started_at_ms
        assert self.first is not None
        return self.first.occurred_at_ms

    def opening(self, policy: Policy) -> WebEvent:
        """Return the session's first event, whose source is the session's."""
        if self.first is None:
            assert self.tail is not None
            self.first = _first_event(self.tail, policy)
        return self.first

    def append(self, event: WebEvent, row: int, opening: WebEvent) -> None:
        """Go on with *event*."""
        if is_internal_link(opening, event):
            self.flags = _INTERNAL
        self.last, self.last_row = event, row
        self.added.append(event)


def _first_event(tail: Tail, policy: Policy) -> WebEvent:
    url, referrer = tail.landing_url, tail.referrer
    return WebEvent(
        "",
        tail.started_at_ms,
        url,
        client_session_id=tail.client_session_id,
        referrer=referrer,
        landing=stored_landing(tail.landing, url, referrer, policy),
    )


class KnownVisitor:
    """What is known of a visitor; `plain` ends where that is not enough."""

    __slots__ = (
        "from_ms",
        "id",
        "link",
        "linked",
        "new",
        "plain",
        "said_ms",
        "server_ms",
        "visit",
    )

    def __init__(self, from_ms: int) -> None:
        self.from_ms = from_ms  # of what was before then not all is known
        self.id = 0
        self.new = True
        self.plain = True
        self.visit: OpenSession | None = None
        self.linked = False  # somebody, now or before
        self.link: LinkRow | None = None
        self.said_ms = 0
        self.server_ms = -1  # the latest event without a page since it is known


def new_session(visit: OpenSession, version: str) -> NewSession:
    """Return the row of a session that this batch begins."""
    session = Session(events=tuple(visit.added), flags=visit.flags)
    return NewSession(
        visit.id,
        visit.visitor,
        visit.public_id,
        session,
        visit.first_row,
        visit.last_row,
        version,
    )


def longer_session(visit: OpenSession) -> LongerSession:
    """Return what this batch adds to the row of a session."""
    return LongerSession(
        visit.id,
        visit.last_row,
        visit.last.occurred_at_ms,
        sum(event.is_page_view for event in visit.added),
        " ".join(sorted(visit.flags)),
    )
