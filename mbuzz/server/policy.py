"""What an account has chosen: how its visits, sources and conversions are counted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

SESSION_TIMEOUT_MS: Final = 1_800_000  # the session cookie's Max-Age is the same


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """An account's settings, as tracking reads them; compared by identity.

    `split_on_referrer` is ``none``, ``direct_only``, ``known`` or ``any``.
    """

    currency: str = "USD"
    timezone: str = "UTC"
    session_timeout_ms: int = SESSION_TIMEOUT_MS
    split_on_campaign: bool = True
    split_on_referrer: str = "direct_only"
    own_domains: frozenset[str] = frozenset()


@lru_cache(maxsize=1_024)
def policy_of(currency: str, timezone: str, settings: str) -> Policy:
    """Return an account's policy, the same object for the same settings (JSON)."""
    given = json.loads(settings)
    minutes = given.get("session_timeout")
    return Policy(
        currency=currency,
        timezone=timezone,
        session_timeout_ms=(
            minutes * 60_000 if isinstance(minutes, int) else SESSION_TIMEOUT_MS
        ),
        split_on_campaign=given.get("split_on_campaign") is not False,
        split_on_referrer=str(given.get("split_on_referrer", "direct_only")),
        own_domains=_texts(given.get("own_domains")),
    )


def _texts(value: object) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, list) else frozenset()


DEFAULT: Final = Policy()
