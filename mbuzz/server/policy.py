"""What an account has chosen: how its visits, sources and conversions are counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any, Final

from mbuzz.server import conversion_settings
from mbuzz.server.account_settings import read_leniently
from mbuzz.server.model_definitions import STANDARD, Models, models_of
from mbuzz.server.networks import Networks
from mbuzz.server.tracking.channel_rules import ChannelRule

SESSION_TIMEOUT_MS: Final = 1_800_000  # the session cookie's Max-Age is the same

_NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """An account's settings, as tracking reads them; compared by identity.

    What each means is in `account_settings`, under the same name. Lookbacks
    and countings are for conversions to come: each keeps what it was recorded under.
    `datacenters` are the server's, for all accounts.
    """

    currency: str = "USD"
    timezone: str = "UTC"
    session_timeout_ms: int = SESSION_TIMEOUT_MS
    max_event_age: int = 30  # days
    split_on_campaign: bool = True
    split_on_referrer: str = "direct_only"
    own_domains: frozenset[str] = _NOTHING
    excluded_referrers: frozenset[str] = _NOTHING
    counted_referrers: frozenset[str] = _NOTHING
    spam_referrers: frozenset[str] = _NOTHING
    source_aliases: bool = False
    channel_rules: tuple[ChannelRule, ...] = ()
    allow_apps: bool = False
    strict_visitors: bool = False
    auto_link: bool = True
    refused_consent: str = "drop"
    respect_gpc: bool = True
    store_ip: str = "none"
    store_user_agent: str = "summary"
    kept_parameters: frozenset[str] = _NOTHING
    dropped_parameters: frozenset[str] = _NOTHING
    lookback_days: int = conversion_settings.LOOKBACK_DAYS
    lookback_by_type: Mapping[str, int] = field(default_factory=dict)
    counting: Mapping[str, str] = field(default_factory=dict)
    models: Models = STANDARD
    datacenters: Networks | None = None

    def lookback_of(self, conversion_type: str) -> int:
        """Return how many days before a conversion a visit may be; 0 is no limit."""
        return self.lookback_by_type.get(conversion_type, self.lookback_days)

    def counting_of(self, conversion_type: str) -> str:
        """Return which of a person's conversions of a type count."""
        return self.counting.get(conversion_type, conversion_settings.EVERY)


# Settings that are not in here are the jobs'.
_FIELDS: Final = frozenset(one.name for one in fields(Policy)) - {
    "models",
    "datacenters",
}


@lru_cache(maxsize=1_024)
def policy_of(
    currency: str, timezone: str, settings: str, models: str = "[]"
) -> Policy:
    """Return an account's policy, the same object for the same settings and models.

    Both are JSON.
    """
    chosen: dict[str, Any] = dict(read_leniently(_loaded(settings)))
    minutes = chosen.pop("session_timeout", None)
    if minutes is not None:
        chosen["session_timeout_ms"] = minutes * 60_000
    of_policy = {name: value for name, value in chosen.items() if name in _FIELDS}
    return Policy(
        currency=currency, timezone=timezone, models=models_of(models), **of_policy
    )


@lru_cache(maxsize=1_024)
def with_datacenters(policy: Policy, networks: Networks) -> Policy:
    """Return a policy under which page views from *networks* are a bot's."""
    return replace(policy, datacenters=networks)


def _loaded(settings: str) -> Mapping[str, object]:
    found = json.loads(settings)
    return found if isinstance(found, dict) else {}


DEFAULT: Final = Policy()
