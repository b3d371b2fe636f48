"""Visitors who refused to be recognized: told apart for a day, and never again.

Whoever asks for that gets an id that is a keyed digest of account, site, network and
browser. Its key, a random salt, is of one day of the account's time zone, so that a
journey ends at midnight, and is gone two days after that day began: then nobody can
tell whose an id was, or make it again. People of one network with the same browser are
one such visitor.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from mbuzz import ids
from mbuzz.server.model import Tenant, TrackCall
from mbuzz.server.policy import Policy
from mbuzz.server.storage.privacy_port import SaltStore
from mbuzz.server.tracking.hosts import normalize_host, split_origin
from mbuzz.server.tracking.privacy import masked_ip

COOKIELESS: Final = "cookieless"  # the setting, the events' flag, how their ids begin
_DAYS_KEPT: Final = 2
_LONGEST_AGENT: Final = 1_024
_DIGITS: Final = 32


def of_today(
    store: SaltStore, tenant: Tenant, policy: Policy, call: TrackCall
) -> TrackCall | None:
    """Return an event as that of a visitor of its day; None if that cannot be told.

    It takes the page's URL, the address and the user agent of the browser. Ids that
    came with the event are left out: who refused is not to be recognized by them. Nor
    is an event taken that comes when its day's salt is over.
    """
    origin = split_origin(call.url or "")
    host = normalize_host(origin[1]) if origin else None
    network = masked_ip(call.properties.get("ip"))
    if host is None or network is None or not call.user_agent:
        return None
    day, until_ms = _day_of(call.occurred_at_ms, policy.timezone)
    if call.received_at_ms >= until_ms:
        return None
    salt = store.daily_salt(tenant, day, ids.token(32), until_ms)
    told = (str(tenant.account_id), host, network, call.user_agent[:_LONGEST_AGENT])
    message = "\0".join(told).encode("utf-8", "surrogatepass")
    digest = hmac.digest(salt.encode(), message, "sha256").hex()
    return call._replace(
        visitor_id=f"{COOKIELESS}_{digest[:_DIGITS]}",
        user_id=None,
        session_id=None,
        refused=call.refused | {"ads"},
        flags=call.flags | {COOKIELESS},
    )


@lru_cache(maxsize=256)
def discreet(policy: Policy) -> Policy:
    """Return a policy that keeps no address, and no user agent word for word."""
    full = policy.store_user_agent == "full"
    return replace(
        policy,
        store_ip="none",
        store_user_agent="summary" if full else policy.store_user_agent,
    )


def _day_of(at_ms: int, timezone: str) -> tuple[str, int]:
    """Return the day, and the moment at which its salt is over."""
    zone = ZoneInfo(timezone)
    day = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date()
    last = day + timedelta(days=_DAYS_KEPT)
    over = datetime(last.year, last.month, last.day, tzinfo=zone)
    return day.isoformat(), int(over.timestamp() * 1000)
