"""Click ids: the parameters that ad platforms and mail tools add to links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from mbuzz.server.model import EMPTY
from mbuzz.server.tracking.utm import EMAIL, clean, decode, has_email, is_absent

MAX_VALUE: Final = 512  # characters


class ClickId(NamedTuple):
    """A parameter, who adds it, and what an untagged visit with it counts as.

    `role` is ``ad`` or ``affiliate`` (somebody was paid for the click), or ``hint``
    (the platform adds it to unpaid links as well). `sources` are the names that the
    platform has as a utm_source.
    """

    name: str
    platform: str
    role: str
    medium: str
    sources: frozenset[str]


# Other utm_source names of a platform; the aliases of sources.txt are known already.
_ALSO: Final = MappingProxyType(
    {
        "google": ("youtube", "adwords", "googleads", "google-ads", "google_ads"),
        "dv360": ("dbm", "doubleclick", "cm360"),
        "bing": ("microsoft", "msn"),
        "seznam": ("sklik",),
        "impact": ("impactradius",),
        "rakuten": ("linkshare",),
    }
)

# The order is the precedence. srsltid is missing on purpose: Google adds it to free
# listings and to normal results. Source: the platforms' help pages.
_TABLE: Final = (
    ("ad", "cpc", "google", "gclid gbraid wbraid gad_source gad_campaignid"),
    ("ad", "cpc", "dv360", "dclid"),
    ("ad", "cpc", "bing", "msclkid"),
    ("ad", "cpc", "yandex", "yclid"),
    ("ad", "cpc", "seznam", "sznclid"),
    ("ad", "cpc", "tiktok", "ttclid"),
    ("ad", "cpc", "x", "twclid"),
    ("ad", "cpc", "linkedin", "li_fat_id"),
    ("ad", "cpc", "reddit", "rdt_cid"),
    ("ad", "cpc", "snapchat", "ScCid"),
    ("ad", "cpc", "quora", "qclid"),
    ("ad", "cpc", "pinterest", "epik"),
    ("affiliate", "affiliate", "impact", "irclickid"),
    ("affiliate", "affiliate", "cj", "cjevent"),
    ("affiliate", "affiliate", "awin", "awc"),
    ("affiliate", "affiliate", "shareasale", "sscid"),
    ("affiliate", "affiliate", "rakuten", "ranSiteID"),
    ("hint", "referral", "facebook", "fbclid"),
    ("hint", "referral", "instagram", "igshid igsh"),
    ("hint", "organic", "yandex", "ysclid"),
    ("hint", "email", "mailchimp", "mc_eid"),
    ("hint", "email", "hubspot", "_hsenc"),
    ("hint", "email", "marketo", "mkt_tok"),
    ("hint", "email", "klaviyo", "_kx"),
)
CLICK_IDS: Final = tuple(
    ClickId(
        name, platform, role, medium, frozenset((platform, *_ALSO.get(platform, ())))
    )
    for role, medium, platform, names in _TABLE
    for name in names.split()
)
_BY_PARAMETER: Final = MappingProxyType({row.name.lower(): row for row in CLICK_IDS})


PARAMETERS: Final = frozenset(_BY_PARAMETER)  # in lower case


def read_click_ids(pairs: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Return the click ids among a URL's *pairs*, by name, in order of precedence.

    Personal data under most laws: for storage, not for display.
    """
    found: dict[str, str] = {}
    for name, raw in pairs:
        row = _BY_PARAMETER.get(name)
        if row is None or row.name in found:
            continue
        value = clean(decode(raw))[:MAX_VALUE]
        if not is_absent(value):
            found[row.name] = EMAIL if has_email(value) else value
    if len(found) < 2:
        return MappingProxyType(found) if found else EMPTY
    ordered = {row.name: found[row.name] for row in CLICK_IDS if row.name in found}
    return MappingProxyType(ordered)


def rows_of(click_ids: Mapping[str, str]) -> list[ClickId]:
    """Return what is known about the parameters that `read_click_ids` found."""
    return [_BY_PARAMETER[name.lower()] for name in click_ids]
