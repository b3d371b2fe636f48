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


class Rule(NamedTuple):
    """A row of the table; `about` says in words what `matches` asks."""

    number: str
    channel: str
    about: str
    matches: Callable[[Evidence], bool]


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
RULES: Final = (
    Rule(
        "C1",
        "direct",
        "nothing says where it came from",
        lambda e: not e.tagged and not e.medium,
    ),
    Rule(
        "C2",
        "cross_network",
        "the campaign is cross-network",
        lambda e: "cross-network" in e.campaign,
    ),
    Rule(
        "C3",
        "paid_shopping",
        "a shopping site, or a campaign about a shop, and paid",
        lambda e: (e.kind == "shopping" or _shop(e)) and is_paid(e.medium),
    ),
    Rule(
        "C4",
        "paid_search",
        "a search engine, and paid",
        lambda e: e.kind == "search" and is_paid(e.medium),
    ),
    Rule(
        "C5",
        "paid_social",
        "a social network, and paid",
        lambda e: e.kind == "social" and is_paid(e.medium),
    ),
    Rule(
        "C6",
        "paid_video",
        "a video site, and paid",
        lambda e: e.kind == "video" and is_paid(e.medium),
    ),
    Rule(
        "C7",
        "display",
        "the medium, the click id or the referrer is of display ads",
        lambda e: (
            e.medium in _DISPLAY
            or e.click == "display"
            or (not e.tagged and e.kind == "display")
        ),
    ),
    Rule(
        "C8",
        "paid_other",
        "paid, and no known kind of site",
        lambda e: is_paid(e.medium),
    ),
    Rule(
        "C9",
        "ai",
        "an AI assistant",
        lambda e: e.kind == "ai" or e.medium in ("ai-assistant", "ai"),
    ),
    Rule(
        "C10",
        "organic_shopping",
        "a shopping site, or a campaign about a shop",
        lambda e: (
            e.kind == "shopping"
            or (e.medium in ("", "organic", "referral") and _shop(e))
        ),
    ),
    Rule(
        "C11",
        "organic_social",
        "a social network",
        lambda e: e.kind == "social" or e.medium in _SOCIAL,
    ),
    Rule(
        "C12",
        "organic_video",
        "a video site",
        lambda e: e.kind == "video" or "video" in e.medium,
    ),
    Rule(
        "C13",
        "organic_search",
        "a search engine",
        lambda e: e.kind == "search" or e.medium == "organic",
    ),
    Rule(
        "C14",
        "email",
        "e-mail",
        lambda e: (
            e.source in _EMAIL
            or e.medium in _EMAIL
            or (not e.tagged and e.kind == "email")
        ),
    ),
    Rule(
        "C15",
        "affiliates",
        "an affiliate",
        lambda e: e.medium in ("affiliate", "affiliates") or e.click == "affiliates",
    ),
    # An untagged visit from an unknown site has the medium "referral".
    Rule(
        "C16",
        "referral",
        "a link on another site",
        lambda e: e.medium in ("referral", "app", "link"),
    ),
    Rule("C17", "audio", "audio", lambda e: e.medium == "audio"),
    Rule("C18", "sms", "SMS", lambda e: "sms" in (e.source, e.medium)),
    Rule(
        "C19",
        "push",
        "a push message",
        lambda e: (
            e.medium.endswith("push")
            or "mobile" in e.medium
            or "notification" in e.medium
            or e.source == "firebase"
        ),
    ),
)


DIRECT_RULE: Final = RULES[0]
OTHER: Final = Rule("C20", "other", "its tags fit no rule", lambda _: True)


def classify(evidence: Evidence) -> Rule:
    """Return the rule that a visit meets first."""
    for rule in RULES:
        if rule.matches(evidence):
            return rule
    return OTHER
