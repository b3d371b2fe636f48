"""The two cookies that the API sets, for the SDK to hand on to the browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mbuzz import protocol
from mbuzz.server.http.response import Headers
from mbuzz.server.model import Call, TrackCall

_NONE: Final = frozenset({None, ""})


def visitor_cookies(events: object, calls: Iterable[Call]) -> Headers:
    """Return Set-Cookie headers if *events*, a reply's items, are of one visitor.

    What was said in the *calls* is never contradicted: an event whose id was somebody
    else's before is answered with that one's ids, which are no business of a browser.
    """
    assert isinstance(events, list)
    visitor = _one_visitor(events)
    if visitor is None:
        return ()
    said = [call for call in calls if isinstance(call, TrackCall)]
    if any(call.visitor_id not in (visitor, None) for call in said):
        return ()
    sessions = {item["session_id"] for item in events if item["visitor_id"]} - _NONE
    known = {call.session_id for call in said} - _NONE
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


def _one_visitor(events: Sequence[Mapping[str, str | None]]) -> str | None:
    visitor = None
    for item in events:
        if "visitor_id" not in item:
            return None
        found = item["visitor_id"]
        if found and found != visitor:
            if visitor:
                return None
            visitor = found
    return visitor


def _cookie(name: str, value: str, max_age: int) -> tuple[str, str]:
    text = f"{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; Secure; SameSite=Lax"
    return "Set-Cookie", text
