"""A visit that a client announces: from parsed JSON to an event with a URL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from mbuzz import protocol
from mbuzz.server.ingestion.fields import (
    InvalidError,
    read_text,
    read_time,
    read_visitor,
    storable,
)
from mbuzz.server.ingestion.timing import Timing
from mbuzz.server.model import TrackCall


def check_landing(
    item: Mapping[str, object], timing: Timing, _warnings: list[str]
) -> tuple[TrackCall, str]:
    """Return the event that a landing is, and the client's name of the visit.

    It comes flat or wrapped in ``session``. The event has no session of the client's:
    the clients that announce visits (0.7 and newer) make a new id for every page that
    is opened, and leave it to the server which of them are one visit. So the id only
    tells a repetition from a second landing.

    Raises:
        InvalidError: With every reason why it is none.
    """
    inner = item.get("session")
    if isinstance(inner, dict):
        item = {**item, **inner}
    elif inner is not None:
        raise InvalidError("session must be an object")
    errors: list[str] = []
    visitor_id = read_visitor(item, errors)
    if visitor_id is None and not errors:
        errors.append("visitor_id is required")
    session_id = _session(item, errors)
    url = _text(item, "url")
    if url is None:
        errors.append("url is required")
    moment = read_time(item, timing, errors, also="started_at")
    if errors or visitor_id is None:
        raise InvalidError(*errors)
    agent = item.get("user_agent")
    call = TrackCall(
        event_id=_event_id(visitor_id, session_id),
        event_type=protocol.SESSION_START,
        visitor_id=visitor_id,
        user_id=None,
        session_id=None,
        occurred_at_ms=moment.at_ms,
        received_at_ms=timing.received_at_ms,
        said_ms=moment.said_ms,
        url=url,
        referrer=_text(item, "referrer"),
        user_agent=storable(agent) if isinstance(agent, str) else None,
        ignore_referrer=item.get("ignore_referrer") is True,
        flags=moment.flags,
    )
    return call, session_id


def _session(item: Mapping[str, object], errors: list[str]) -> str:
    given = read_text(item, "session_id") or ""
    if not given:
        errors.append("session_id is required")
    elif not protocol.WIRE_ID.fullmatch(given):
        errors.append("session_id must be 1 to 255 letters, digits or . _ : -")
    return given


def _text(item: Mapping[str, object], name: str) -> str | None:
    value = item.get(name)
    text = storable(value).strip() if isinstance(value, str) else ""
    return text[: protocol.MAX_STRING] or None


def _event_id(visitor_id: str, session_id: str) -> str:
    """Return an id that a repetition of the same landing has, too."""
    digest = hashlib.sha256(f"{visitor_id}\n{session_id}".encode()).hexdigest()
    return f"evt_{digest[:32]}"
