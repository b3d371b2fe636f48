"""Sessions: a visitor's web events, split into visits.

A pure fold over the sorted events. After a gap of the account's timeout it has
forgotten all that was before, so a late event changes nothing beyond the gaps around
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mbuzz.server.model import Session, WebEvent
from mbuzz.server.policy import DEFAULT, Policy

_SAME_LOAD_MS: Final = 10_000  # parallel first requests make an id each

INTERNAL_UTM: Final = "internal_utm"


def order_key(event: WebEvent) -> tuple[int, bool, str, str]:
    """Return what sorts a visitor's events, whatever order they arrived in."""
    landing = event.landing
    return event.occurred_at_ms, landing.key is None, event.url, event.event_id


def fold(events: Iterable[WebEvent], policy: Policy = DEFAULT) -> list[Session]:
    """Return the sessions of one visitor, oldest first.

    Flags: ``internal_utm``, the site tags links to itself.
    """
    sessions: list[Session] = []
    running: list[WebEvent] = []
    flags: frozenset[str] = frozenset()
    for event in sorted(events, key=order_key):
        if running and splits(running[0], running[-1], event, policy):
            sessions.append(Session(events=tuple(running), flags=flags))
            running, flags = [], frozenset()
        if running and is_internal_link(running[0], event):
            flags = frozenset({INTERNAL_UTM})
        running.append(event)
    if running:
        sessions.append(Session(events=tuple(running), flags=flags))
    return sessions


def splits(
    first: WebEvent,
    previous: WebEvent,
    event: WebEvent,
    policy: Policy = DEFAULT,
) -> bool:
    """Tell whether *event* begins a session of its own.

    *first* and *previous* are the ends of the session that runs until then.
    """
    gap_ms = event.occurred_at_ms - previous.occurred_at_ms
    if gap_ms >= policy.session_timeout_ms:
        return True
    if gap_ms > _SAME_LOAD_MS and _ids_differ(previous, event):
        return True
    landing = event.landing
    if landing.key is None or landing.key == first.landing.key:
        return False
    if landing.key[0] == "ref":
        return _referrer_splits(first, event, policy.split_on_referrer)
    return policy.split_on_campaign and not is_internal_link(first, event)


def _referrer_splits(first: WebEvent, event: WebEvent, setting: str) -> bool:
    if setting == "any":
        return True
    if setting == "none" or not event.landing.known:
        return False
    # Payment, sign-on and mail pages send visitors back: only a site that sends
    # visitors by itself can explain a visit that began without a source.
    return setting == "known" or first.landing.key is None


def _ids_differ(previous: WebEvent, event: WebEvent) -> bool:
    before, after = previous.client_session_id, event.client_session_id
    return before is not None and after is not None and before != after


def is_internal_link(first: WebEvent, event: WebEvent) -> bool:
    """Tell whether a tagged *event* came from a link on the site itself."""
    key = event.landing.key
    return (
        event.landing.from_own_host
        and key is not None
        and key[0] != "ref"
        and first.landing.key not in (None, key)
    )
