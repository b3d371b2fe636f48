"""Web events for the session fold, from a call or from what was stored of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from mbuzz import protocol
from mbuzz.server.model import Landing, TrackCall, WebEvent
from mbuzz.server.policy import Policy
from mbuzz.server.storage.rows.events import EventRow
from mbuzz.server.tracking.click_ids import PARAMETERS
from mbuzz.server.tracking.landing import read_landing
from mbuzz.server.tracking.storable import stored_referrer, stored_url

_KNOWN_LANDINGS: Final = 4_096  # the same few pages and referrers come again and again
_SHORT: Final = 500  # characters; longer ones are not remembered


class Page(NamedTuple):
    """A call's web event; `kept_landing` is None where the stored URL says it all."""

    event: WebEvent
    kept_landing: Landing | None


class _Read(NamedTuple):
    """What is stored of a URL and a referrer, and what they say, stored and whole."""

    url: str
    referrer: str | None
    stored: Landing
    whole: Landing


@lru_cache(maxsize=_KNOWN_LANDINGS)
def _landing(url: str, referrer: str | None, policy: Policy) -> Landing:
    return read_landing(url, referrer, policy=policy)


def _read(url: str, referrer: str | None, policy: Policy) -> _Read:
    kept_url = stored_url(
        url, keep=policy.kept_parameters, drop=policy.dropped_parameters
    )
    kept_referrer = stored_referrer(referrer)
    stored = whole = _landing(kept_url, kept_referrer, policy)
    if kept_url != url or kept_referrer != referrer:
        whole = read_landing(url, referrer, policy=policy)
        if whole == stored:
            whole = stored
    return _Read(kept_url, kept_referrer, stored, whole)


_read_again = lru_cache(maxsize=_KNOWN_LANDINGS)(_read)


def page_of(call: TrackCall, policy: Policy) -> Page | None:
    """Return the page that a call is about; None if it is about none."""
    if call.url is None:
        return None
    hide = bool(call.refused) and _hides_click_ids(call.refused, policy)
    short = len(call.url) + len(call.referrer or "") <= _SHORT
    url, referrer, stored, landing = (_read_again if short else _read)(
        call.url, call.referrer, policy
    )
    if hide:
        drop = policy.dropped_parameters | PARAMETERS
        url = stored_url(call.url, keep=policy.kept_parameters, drop=drop)
        stored = _landing(url, referrer, policy)
    if hide or call.ignore_referrer or _has_tags(call):
        landing = read_landing(
            call.url,
            call.referrer,
            properties=call.properties,
            ignore_referrer=call.ignore_referrer,
            hide_click_ids=hide,
            policy=policy,
        )
        if landing == stored:
            landing = stored
    event = WebEvent(
        call.event_id,
        call.occurred_at_ms,
        url,
        call.event_type == protocol.PAGE_VIEW,
        call.session_id,
        referrer,
        landing,
    )
    return Page(event, None if landing is stored else landing)


def flags_of(call: TrackCall, page: Page | None) -> frozenset[str]:
    """Return what is odd about an event, its time and its page."""
    odd = page.event.landing.flags if page is not None else None
    return call.flags | odd if odd else call.flags


def _hides_click_ids(refused: frozenset[str], policy: Policy) -> bool:
    """Tell whether nobody may recognize the visitor by an advertiser's ids."""
    return "ads" in refused or ("gpc" in refused and policy.respect_gpc)


def _has_tags(call: TrackCall) -> bool:
    """Tell whether a property may be a tag; there seldom is one."""
    return "utm_" in " ".join(call.properties).lower()


def stored_landing(
    kept: Landing | None, url: str, referrer: str | None, policy: Policy
) -> Landing:
    """Return the source of a stored web event; None was *kept* where these say it."""
    return _landing(url, referrer, policy) if kept is None else kept


def stored_page(row: EventRow, policy: Policy) -> WebEvent:
    """Return a stored web event; its source is read anew unless it was kept."""
    landing = stored_landing(row.landing, row.url, row.referrer, policy)
    return WebEvent(
        event_id=row.event_id,
        occurred_at_ms=row.occurred_at_ms,
        url=row.url,
        is_page_view=row.is_page_view,
        client_session_id=row.client_session_id,
        referrer=row.referrer,
        landing=landing,
        row=row.id,
    )
