"""Web events for the session fold, from a call or from what was stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from mbuzz import protocol
from mbuzz.server.model import Landing, TrackCall, WebEvent
from mbuzz.server.policy import Policy
from mbuzz.server.storage.port import EventRow
from mbuzz.server.tracking.landing import read_landing
from mbuzz.server.tracking.storable import stored_referrer, stored_url

_KNOWN_LANDINGS: Final = 4_096  # the same few pages and referrers come again and again

_PAGE_FIELDS: Final = frozenset({"url", "referrer", "user_agent", "prefetch"})


class Page(NamedTuple):
    """A call's web event; `kept_landing` is None where the stored URL says it all."""

    event: WebEvent
    kept_landing: Landing | None


@lru_cache(maxsize=_KNOWN_LANDINGS)
def _landing(url: str, referrer: str | None, policy: Policy) -> Landing:
    return read_landing(url, referrer, own_domains=policy.own_domains)


def page_of(call: TrackCall, policy: Policy) -> Page | None:
    """Return the page that a call is about; None if it is about none."""
    if call.url is None:
        return None
    url, referrer = stored_url(call.url), stored_referrer(call.referrer)
    stored = _landing(url, referrer, policy)
    if (
        (url == call.url and referrer == call.referrer)
        and not call.ignore_referrer
        and not _has_tags(call)
    ):
        landing = stored
    else:
        landing = read_landing(
            call.url,
            call.referrer,
            properties=call.properties,
            ignore_referrer=call.ignore_referrer,
            own_domains=policy.own_domains,
        )
    event = WebEvent(
        event_id=call.event_id,
        occurred_at_ms=call.occurred_at_ms,
        url=url,
        is_page_view=call.event_type == protocol.PAGE_VIEW,
        client_session_id=call.session_id,
        referrer=referrer,
        landing=landing,
    )
    return Page(event, None if landing == stored else landing)


def kept_properties(properties: Mapping[str, object]) -> Mapping[str, object]:
    """Return what the caller said, without what has columns or is not kept at all."""
    if _PAGE_FIELDS.isdisjoint(properties):
        return properties
    return {k: v for k, v in properties.items() if k not in _PAGE_FIELDS}


def _has_tags(call: TrackCall) -> bool:
    return any(name[:4].lower() == "utm_" for name in call.properties)


def stored_page(row: EventRow, policy: Policy) -> WebEvent:
    """Return a stored web event; its source is read anew unless it was kept."""
    landing = row.landing
    if landing is None:
        landing = _landing(row.url, row.referrer, policy)
    return WebEvent(
        event_id=row.event_id,
        occurred_at_ms=row.occurred_at_ms,
        url=row.url,
        is_page_view=row.is_page_view,
        client_session_id=row.client_session_id,
        referrer=row.referrer,
        landing=landing,
    )
