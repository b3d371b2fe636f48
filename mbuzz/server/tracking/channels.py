"""Channels: GA4's default channel group as an ordered table, with our deviations.

Deviations from GA4, on purpose: a class for AI assistants also for tagged links (D1)
and webmail as e-mail (D2); an explicit medium beats "shop" in a campaign's name (D3);
the click ids of all platforms (D4); subdomains count (D5); payment pages are never a
source (D6); a missing source is taken from the referrer (D7); an untagged visit from an
ad network is display (D8).

Source: https://support.google.com/analytics/answer/9756891
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple


class Evidence(NamedTuple):
    """What the rules look at, in lower case; empty where there is nothing.

    `kind` is that of the source's site (`sources.Site`), `click` the channel that a
    click id stands for when no medium can say it (display, affiliates).
    """

    tagged: bool = False
    source: str = ""  # as tagged
    medium: str = ""
    campaign: str = ""
    kind: str = ""
    click: str = ""


_SHOP: Final = re.compile(r"(?:[^a-df-z]|^)shop|shopping")

_DISPLAY: Final = frozenset({"display", "banner", "expandable", "interstitial", "cpm"})
_SOCIAL: Final = frozenset(
    {
        "social",
        "social-network",
        "social-media",
        "sm",
        "social network",
        "social media",
    }
)
_EMAIL: Final = frozenset({"email", "e-mail", "e_mail", "e mail"})


def is_paid(medium: str) -> bool:
    """Tell whether GA4 reads *medium* as paid: ``.*cp.*|ppc|retargeting|paid.*``."""
    return (
        "cp" in medium or medium in ("ppc", "retargeting") or medium.startswith("paid")
    )


def is_ad(medium: str) -> bool:
    """Tell whether *medium* says that somebody paid, display included."""
    return is_paid(medium) or medium in _DISPLAY


def _shop(e: Evidence) -> bool:
    return "shop" in e.campaign and _SHOP.search(e.campaign) is not None


# The first that matches wins.
RULES: Final[tuple[tuple[str, str, Callable[[Evidence], bool]], ...]] = (
    ("C1", "direct", lambda e: not e.tagged and not e.medium),
    ("C2", "cross_network", lambda e: "cross-network" in e.campaign),
    (
        "C3",
        "paid_shopping",
        lambda e: (e.kind == "shopping" or _shop(e)) and is_paid(e.medium),
    ),
    ("C4", "paid_search", lambda e: e.kind == "search" and is_paid(e.medium)),
    ("C5", "paid_social", lambda e: e.kind == "social" and is_paid(e.medium)),
    ("C6", "paid_video", lambda e: e.kind == "video" and is_paid(e.medium)),
    (
        "C7",
        "display",
        lambda e: (
            e.medium in _DISPLAY
            or e.click == "display"
            or (not e.tagged and e.kind == "display")
        ),
    ),
    ("C8", "paid_other", lambda e: is_paid(e.medium)),
    ("C9", "ai", lambda e: e.kind == "ai" or e.medium in ("ai-assistant", "ai")),
    (
        "C10",
        "organic_shopping",
        lambda e: (
            e.kind == "shopping"
            or (e.medium in ("", "organic", "referral") and _shop(e))
        ),
    ),
    ("C11", "organic_social", lambda e: e.kind == "social" or e.medium in _SOCIAL),
    ("C12", "organic_video", lambda e: e.kind == "video" or "video" in e.medium),
    ("C13", "organic_search", lambda e: e.kind == "search" or e.medium == "organic"),
    (
        "C14",
        "email",
        lambda e: (
            e.source in _EMAIL
            or e.medium in _EMAIL
            or (not e.tagged and e.kind == "email")
        ),
    ),
    (
        "C15",
        "affiliates",
        lambda e: e.medium in ("affiliate", "affiliates") or e.click == "affiliates",
    ),
    # An untagged visit from an unknown site has the medium "referral".
    ("C16", "referral", lambda e: e.medium in ("referral", "app", "link")),
    ("C17", "audio", lambda e: e.medium == "audio"),
    ("C18", "sms", lambda e: "sms" in (e.source, e.medium)),
    (
        "C19",
        "push",
        lambda e: (
            e.medium.endswith("push")
            or "mobile" in e.medium
            or "notification" in e.medium
            or e.source == "firebase"
        ),
    ),
)


def channel_of(evidence: Evidence) -> str:
    """Return the channel of a visit, a key of `mbuzz.server.model.CHANNELS`."""
    for _, channel, matches in RULES:
        if matches(evidence):
            return channel
    return "other"  # C20
