"""Rows of events and sessions: which columns, and what they become."""

from __future__ import annotations

import json
from typing import Final

from mbuzz.server.model import Landing, Session
from mbuzz.server.storage.connection import Row, dump
from mbuzz.server.storage.rows.events import StoredEvent

STORED_EVENT: Final = (
    "e.id, e.event_type, e.visitor, e.identity, v.visitor_id,"
    " COALESCE(e.client_session_id, s.client_session_id, s.public_id)"
)
STORED_FROM: Final = (
    "events e LEFT JOIN visitors v ON v.id = e.visitor"
    " LEFT JOIN sessions s ON s.id = e.session"
)


def stored_event(row: Row) -> StoredEvent:
    """Return what `STORED_EVENT` selects from `STORED_FROM`."""
    return StoredEvent(
        id=row[0],
        event_type=row[1],
        visitor=row[2],
        identity=row[3],
        visitor_id=row[4],
        session_id=row[5],
    )


def dump_landing(landing: Landing | None) -> str | None:
    """Keep what the fold needs again, unless the URL and the referrer say it."""
    if landing is None:
        return None
    return dump(
        {
            "channel": landing.channel,
            "source": landing.source,
            "medium": landing.medium,
            "campaign": landing.campaign,
            "utm": dict(landing.utm),
            "click_ids": dict(landing.click_ids),
            "key": landing.key,
            "known": landing.known,
            "from_own_host": landing.from_own_host,
            "flags": sorted(landing.flags),
        }
    )


def load_landing(text: str | None) -> Landing | None:
    """Return what `dump_landing` kept."""
    if text is None:
        return None
    kept = json.loads(text)
    key = kept.pop("key")
    flags = kept.pop("flags")
    return Landing(
        **kept, key=tuple(key) if key is not None else None, flags=frozenset(flags)
    )


def source_values(
    landing: Landing, flags: frozenset[str], list_version: str
) -> dict[str, object]:
    """Return the columns of a session that say where it came from."""
    return {
        "channel": landing.channel,
        "source": landing.source,
        "medium": landing.medium,
        "campaign": landing.campaign,
        "initial_utm": dump(dict(landing.utm)),
        "click_ids": dump(dict(landing.click_ids)),
        "flags": " ".join(sorted(flags)),
        "list_version": list_version,
    }


def session_values(
    session: Session, first_event: int, last_event: int, list_version: str
) -> dict[str, object]:
    """Return the columns that follow from a session's events."""
    begin = session.first
    landing = begin.landing
    return {
        "client_session_id": begin.client_session_id,
        "started_at_ms": begin.occurred_at_ms,
        "last_event_at_ms": session.last.occurred_at_ms,
        "first_event": first_event,
        "last_event": last_event,
        "page_view_count": sum(event.is_page_view for event in session.events),
        **source_values(landing, session.flags | landing.flags, list_version),
        "landing_url": begin.url,
        "referrer": begin.referrer,
    }
