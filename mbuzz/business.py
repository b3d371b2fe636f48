"""Business events in one shape: who did what to what, and where.

::

    business.event(
        "profile.updated",
        actor=("user", 42),
        subject=("profile", 7),
        metadata={"changed": ["name"]},
        platform={"service": "shop", "environment": "production"},
    )
"""

from __future__ import annotations

from collections.abc import Mapping

from mbuzz import api, guard
from mbuzz.results import TrackResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    Party = Mapping[str, object] | tuple[str, object]


def event(
    action: str,
    *,
    actor: Party | None = None,
    subject: Party | None = None,
    metadata: Mapping[str, object] | None = None,
    platform: Mapping[str, object] | None = None,
    user_id: str | int | None = None,
    visitor_id: str | None = None,
    session_id: str | None = None,
    request_id: str | None = None,
    flow_id: str | None = None,
    parent_id: str | None = None,
    timestamp: datetime | float | str | None = None,
    event_id: str | None = None,
) -> TrackResult:
    """Record that *actor* did *action* to *subject*, and return at once.

    It is the `mbuzz.track` of an event called *action*, whose properties are `action`
    and, where given, `actor`, `subject`, `metadata` and `platform`. A party is a pair
    ``(type, id)`` or a mapping with those keys and any others. An actor of the type
    "user" is the event's user, unless a `user_id` says otherwise; where nobody is
    named the visitor of the request is meant, as in `mbuzz.track`.
    """
    parts = {
        "actor": _party(actor),
        "subject": _party(subject),
        "metadata": metadata,
        "platform": platform,
    }
    given = {name: part for name, part in parts.items() if part is not None}
    return api.track(
        action,
        properties={"action": action, **given},
        user_id=_user(parts["actor"]) if user_id is None else user_id,
        visitor_id=visitor_id,
        session_id=session_id,
        request_id=request_id,
        flow_id=flow_id,
        parent_id=parent_id,
        timestamp=timestamp,
        event_id=event_id,
    )


def _party(given: object) -> object:
    """Return a pair as a mapping; all else is left for the encoding to judge."""
    if isinstance(given, tuple | list) and len(given) == 2:
        return {"type": given[0], "id": given[1]}
    return given


def _user(actor: object) -> str | int | None:
    """Return the id of an actor that is a user."""

    def found() -> str | int | None:
        if not isinstance(actor, Mapping) or actor.get("type") != "user":
            return None
        known: str | int | None = actor.get("id")  # track judges what it is
        return known

    return guard.attempt(found, lambda _: None)
