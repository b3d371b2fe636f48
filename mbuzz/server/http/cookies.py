"""The two cookies that the API sets, for the SDK to hand on to the browser."""

from __future__ import annotations

from mbuzz import protocol
from mbuzz.server.http.response import Headers


def visitor_cookies(events: object) -> Headers:
    """Return Set-Cookie headers if *events*, a reply's items, are of one visitor."""
    assert isinstance(events, list)
    people = {(item.get("visitor_id"), item.get("session_id")) for item in events}
    visitors = {visitor for visitor, _ in people if visitor}
    if len(visitors) != 1 or any("visitor_id" not in item for item in events):
        return ()
    sessions = {session for visitor, session in people if visitor and session}
    headers = [
        _cookie(
            protocol.VISITOR_COOKIE, visitors.pop(), protocol.VISITOR_COOKIE_MAX_AGE
        )
    ]
    if len(sessions) == 1:
        headers.append(
            _cookie(
                protocol.SESSION_COOKIE, sessions.pop(), protocol.SESSION_COOKIE_MAX_AGE
            )
        )
    return tuple(headers)


def _cookie(name: str, value: str, max_age: int) -> tuple[str, str]:
    text = f"{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; Secure; SameSite=Lax"
    return "Set-Cookie", text
