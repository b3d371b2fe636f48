"""Events and sessions, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mbuzz.server.model import Landing


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A stored session: its ids and its extent."""

    id: int
    public_id: str
    client_session_id: str | None
    started_at_ms: int
    last_event_at_ms: int
    first_event: int
    last_event: int
    page_view_count: int = 0
    sealed: bool = False  # its events are deleted: it cannot be folded again


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifiedSession:
    """A stored session, with all that says where it came from."""

    id: int
    started_at_ms: int
    last_event_at_ms: int
    first_event: int
    landing_url: str
    referrer: str | None
    landing: Landing  # without a key, which sessions do not keep
    list_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A stored web event, and the session it is in.

    `landing` is None where the URL and the referrer say all of it.
    """

    id: int
    session: int | None
    event_id: str
    occurred_at_ms: int
    url: str
    is_page_view: bool
    client_session_id: str | None
    referrer: str | None
    landing: Landing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """What a repeated event is answered with."""

    id: int
    event_type: str
    visitor: int | None
    identity: int | None
    visitor_id: str | None
    session_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event about to be stored.

    `url` is None for a server event, `landing` where URL and referrer say all of it;
    `said_ms` is what the client's clock said.
    """

    event_id: str
    event_type: str
    visitor: int | None
    identity: int | None
    client_session_id: str | None
    occurred_at_ms: int
    received_at_ms: int
    said_ms: int | None
    url: str | None
    referrer: str | None
    landing: Landing | None
    bot_reason: str | None
    flags: frozenset[str]
    properties: Mapping[str, object]
    user_agent: str | None = None


def event_hour(said_ms: int | None, received_at_ms: int) -> int:
    """Return the hour that is part of an event's key: the client's, or of receipt."""
    return (received_at_ms if said_ms is None else said_ms) // 3_600_000
