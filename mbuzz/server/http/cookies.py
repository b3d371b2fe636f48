"""The two cookies that the API sets, for the SDK to hand on to the browser."""

from __future__ import annotations

from collections.abc import Iterable

from mbuzz import protocol
from mbuzz.server.http.response import Headers
from mbuzz.server.model import Call, TrackCall


def visitor_cookies(events: object, calls: Iterable[Call]) -> Headers:
    """Return Set-Cookie headers if *events*, a reply's items, are of one visitor.

    What was said in the *calls* is never contradicted: an event whose id was somebody
    else's before is answered with that one's ids, which are no business of a browser.
    """
    assert isinstance(events, list)
    people = {(item.get("visitor_id"), item.get("session_id")) for item in events}
    visitors = {visitor for visitor, _ in people if visitor}
    if len(visitors) != 1 or any("visitor_id" not in item for item in events):
        return ()
    (visitor,) = visitors
    said = [call for call in calls if isinstance(call, TrackCall)]
    if any(call.visitor_id not in (visitor, None) for call in said):
        return ()
    sessions = {session for visitor, session in people if visitor and session}
    known = {call.session_id for call in said if call.session_id}
    headers = [
        _cookie(protocol.VISITOR_COOKIE, visitor, protocol.VISITOR_COOKIE_MAX_AGE)
    ]
    if len(sessions) == 1 and (not known or sessions == known):
        headers.append(
            _cookie(
                protocol.SESSION_COOKIE, sessions.pop(), protocol.SESSION_COOKIE_MAX_AGE
            )
        )
    return tuple(headers)


def _cookie(name: str, value: str, max_age: int) -> tuple[str, str]:
    text = f"{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; Secure; SameSite=Lax"
    return "Set-Cookie", text
