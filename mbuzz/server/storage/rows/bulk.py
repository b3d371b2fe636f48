"""What a batch looks up and adds, all of it at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mbuzz.server.model import Landing, Session


class Tail(NamedTuple):
    """A visitor's latest session, as far as the next event's place depends on it.

    `landing` is that of its first event, as in `EventRow`; `last_client_session_id`
    is its last event's.
    """

    id: int
    public_id: str
    client_session_id: str | None
    started_at_ms: int
    last_event_at_ms: int
    page_view_count: int
    landing_url: str
    referrer: str | None
    last_client_session_id: str | None
    landing: Landing | None
    sealed: bool


class LinkRow(NamedTuple):
    """Who a visitor is or was, and when that was said last."""

    identity: int
    user_id: str
    said_ms: int
    from_ms: int
    current: bool


class EventLine(NamedTuple):
    """A row of events about to be stored, its number chosen already."""

    id: int
    id_hour: int
    event_id: str
    event_type: str
    visitor: int
    identity: int | None
    session: int | None
    client_session_id: str | None
    occurred_at_ms: int
    received_at_ms: int
    said_at_ms: int | None
    url: str | None
    referrer: str | None
    landing: Landing | None
    user_agent: str | None
    bot_reason: str | None
    flags: frozenset[str]
    properties: Mapping[str, object]


class NewSession(NamedTuple):
    """A session about to be stored, its number chosen already."""

    id: int
    visitor: int
    public_id: str
    session: Session
    first_event: int
    last_event: int
    list_version: str


class LongerSession(NamedTuple):
    """What is new about a session that goes on."""

    id: int
    last_event: int
    last_event_at_ms: int
    page_views: int
    flags: str


class BulkRows(NamedTuple):
    """All that a batch adds: visitors are (row, visitor_id, first_seen_ms)."""

    visitors: list[tuple[int, str, int]]
    sessions: list[NewSession]
    events: list[EventLine]
    longer: list[LongerSession]
    confirmed: dict[int, tuple[LinkRow, int]]  # by visitor: when it was said again
