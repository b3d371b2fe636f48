"""Landing: what a URL and a referrer say about where a visitor came from.

Precedence: campaign tags, paid click ids, referrer, unpaid click ids, direct.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from mbuzz.server.model import DIRECT, EMPTY, Landing
from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.tracking.channel_rules import Facts, find_rule
from mbuzz.server.tracking.channels import DIRECT_RULE, Evidence, classify, is_ad
from mbuzz.server.tracking.click_ids import ClickId, read_click_ids, rows_of
from mbuzz.server.tracking.hosts import normalize_host, split_origin
from mbuzz.server.tracking.referrers import (
    KNOWN_KINDS,
    Referrer,
    read_referrer,
    referrer_host,
)
from mbuzz.server.tracking.sources import find_source
from mbuzz.server.tracking.storable import MAX_STORED, stored_referrer, stored_url
from mbuzz.server.tracking.utm import NO_TAGS, Tags, query_pairs, read_tags

__all__ = [
    "Reading",
    "read",
    "read_again",
    "read_landing",
    "stored_referrer",
    "stored_url",
]

_OWN_HOST: Final = Landing(from_own_host=True)

_KEY_TAGS: Final = (
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "utm_id",
)
# What follows from the channel, which an account's own rules may change.
_OF_CHANNELS: Final = frozenset({"unassigned_channel", "paid_medium_unknown_source"})
# PayPal's convention, and ours: the sender says that this is a way back.
_IGNORE: Final = frozenset({("utm_nooverride", "1"), ("mbuzz_ignore_referrer", "1")})


class _Source(NamedTuple):
    name: str
    medium: str
    kind: str
    click: str = ""


class Reading(NamedTuple):
    """A landing, and how it came about: what counted, and by which rule.

    `basis` is ``tags``, ``click_id``, ``referrer``, ``hint`` (an unpaid click id),
    ``nothing`` or ``ignored`` (the event asked for that).
    """

    landing: Landing
    rule: str = DIRECT_RULE.number
    about: str = DIRECT_RULE.about
    basis: str = "nothing"


_NOTHING: Final = Reading(DIRECT)
_FROM_OWN_HOST: Final = Reading(_OWN_HOST)


def read_landing(
    url: str | None,
    referrer: str | None,
    *,
    host: str | None = None,
    properties: Mapping[str, object] | None = None,
    ignore_referrer: bool = False,
    hide_click_ids: bool = False,
    policy: Policy = DEFAULT,
) -> Landing:
    """Return the source of a page view or event; it raises on no input.

    *host*, the request's, is the site where *url* has none. *properties* may hold
    utm_* values, which beat the URL's. *ignore_referrer* says that the visitor is on
    the way back from a payment or sign-on: nothing counts. With *hide_click_ids* they
    count, but nothing is left of them than their names. *policy* is the account's.
    """
    return read(
        url,
        referrer,
        host=host,
        properties=properties,
        ignore_referrer=ignore_referrer,
        hide_click_ids=hide_click_ids,
        policy=policy,
    ).landing


def read(
    url: str | None,
    referrer: str | None,
    *,
    host: str | None = None,
    properties: Mapping[str, object] | None = None,
    ignore_referrer: bool = False,
    hide_click_ids: bool = False,
    policy: Policy = DEFAULT,
) -> Reading:
    """Return the source as `read_landing` does, and how it was found."""
    url = url.strip() if url else ""
    site_host, flags = _site_host(url, host)
    pairs = query_pairs(url) if "?" in url else []
    if ignore_referrer or not _IGNORE.isdisjoint(pairs):
        return Reading(Landing(flags=flags) if flags else DIRECT, basis="ignored")
    came_from = read_referrer(referrer, site_host, policy) if referrer else None
    tags, click_ids = NO_TAGS, EMPTY
    if pairs or properties:
        tags = read_tags(pairs, properties, aliases=policy.source_aliases)
        click_ids = read_click_ids(pairs)
        if hide_click_ids and click_ids:
            click_ids = MappingProxyType(dict.fromkeys(click_ids, ""))
    reading = _weighed(tags, click_ids, came_from, flags)
    if policy.channel_rules:
        return _by_own_rules(reading, url, referrer, policy)
    return reading


def read_again(
    kept: Landing, url: str, referrer: str | None, policy: Policy
) -> Landing:
    """Return what a kept landing is under the lists and rules of today.

    It was kept because *url* and *referrer*, as stored, do not say all of it: what was
    read of them then stays, and only what follows from that is new.
    """
    if kept.key is None and not kept.utm and not kept.click_ids:
        return kept  # the event asked for no source
    site_host, _ = _site_host(url, None)
    came_from = read_referrer(referrer, site_host, policy) if referrer else None
    flags = kept.flags - _OF_CHANNELS
    reading = _weighed(Tags(kept.utm), kept.click_ids, came_from, flags)
    if policy.channel_rules:
        reading = _by_own_rules(reading, url, referrer, policy)
    return reading.landing


def _weighed(
    tags: Tags,
    click_ids: Mapping[str, str],
    came_from: Referrer | None,
    flags: frozenset[str],
) -> Reading:
    if tags.values:
        return _tagged(tags, click_ids, came_from, flags)
    return _untagged(click_ids, came_from, flags)


def _by_own_rules(
    reading: Reading, url: str, referrer: str | None, policy: Policy
) -> Reading:
    """Return the reading with the channel of the account's own rules, if one fits."""
    found = find_rule(policy.channel_rules, _facts(reading.landing, url, referrer))
    if found is None:
        return reading
    landing = replace(
        reading.landing,
        channel=policy.channel_rules[found].channel,
        flags=reading.landing.flags - _OF_CHANNELS,
    )
    return reading._replace(
        landing=landing, rule=f"custom {found + 1}", about="a rule of the account"
    )


def _facts(landing: Landing, url: str, referrer: str | None) -> Facts:
    origin = split_origin(url)
    path = url[origin[2] if origin else 0 :].partition("#")[0].partition("?")[0]
    utm = landing.utm
    return {
        "source": _one(landing.source),
        "medium": _one(landing.medium),
        "campaign": _one(landing.campaign),
        "content": _one(utm.get("utm_content")),
        "term": _one(utm.get("utm_term")),
        "id": _one(utm.get("utm_id")),
        "referrer_host": _one(referrer_host(referrer) if referrer else None),
        "landing_path": _one(path[:MAX_STORED] or "/"),
        "click_id": [name.lower() for name in landing.click_ids],
    }


def _one(value: str | None) -> tuple[str, ...]:
    return (value.lower(),) if value else ()


def _site_host(url: str, host: str | None) -> tuple[str | None, frozenset[str]]:
    """Return the site's host and the flags ``bad_url`` and ``missing_host``."""
    flags: frozenset[str] = frozenset()
    found = None
    origin = split_origin(url)
    if origin is None:
        if url and url[0] not in "/?#":
            flags = frozenset({"bad_url"})
    elif origin[0] in ("https", "http", ""):  # an app's myapp://screen has no host
        found = normalize_host(origin[1])
        if found is None:
            flags = frozenset({"bad_url"})
    if found is None and host:
        found = normalize_host(host)
    if found is None and url:
        flags |= {"missing_host"}
    return found, flags


def _untagged(
    click_ids: Mapping[str, str], came_from: Referrer | None, flags: frozenset[str]
) -> Reading:
    own_host = came_from is not None and came_from.own_host
    rows = rows_of(click_ids)
    key: tuple[str, ...] | None = None
    known = False
    if rows and rows[0].role != "hint":
        basis, found = "click_id", _by_click(rows[0])
        key = ("click", rows[0].name, click_ids[rows[0].name])
    elif came_from is not None and came_from.site is not None:
        basis, found = "referrer", _by_site(*came_from.site)
    elif rows:
        basis, found = "hint", _by_click(rows[0])
    elif flags:
        return Reading(Landing(from_own_host=own_host, flags=flags))
    else:
        return _FROM_OWN_HOST if own_host else _NOTHING
    if key is None:
        # An unpaid click id is as good as a referrer, which the platform hides.
        key = ("ref", found.name)
        known = found.kind in KNOWN_KINDS and not own_host
    evidence = Evidence(medium=found.medium, kind=found.kind, click=found.click)
    rule = classify(evidence)
    landing = Landing(
        channel=rule.channel,
        source=found.name,
        medium=found.medium,
        click_ids=click_ids,
        key=key,
        known=known,
        from_own_host=own_host,
        flags=flags,
    )
    return Reading(landing, rule.number, rule.about, basis)


def _tagged(
    tags: Tags,
    click_ids: Mapping[str, str],
    came_from: Referrer | None,
    flags: frozenset[str],
) -> Reading:
    values = tags.values
    campaign = values.get("utm_campaign", "")
    rows = rows_of(click_ids)
    found = _tagged_source(values, rows, came_from)
    rule = classify(
        Evidence(
            tagged=True,
            source=values.get("utm_source", ""),
            medium=found.medium,
            campaign=campaign,
            kind=found.kind,
            click=found.click,
        )
    )
    paid = next((row.name for row in rows if row.role != "hint"), None)
    click = f"{paid}={click_ids[paid]}" if paid else ""
    flags |= tags.flags
    if rule.channel == "other":
        flags |= {"unassigned_channel"}
    elif rule.channel == "paid_other":
        flags |= {"paid_medium_unknown_source"}
    landing = Landing(
        channel=rule.channel,
        source=found.name or None,
        medium=found.medium or None,
        campaign=campaign or None,
        utm=values,
        click_ids=click_ids,
        # Only what the link says, so that a reload from elsewhere is the same visit.
        key=("utm", *[values.get(name, "") for name in _KEY_TAGS], click),
        from_own_host=came_from is not None and came_from.own_host,
        flags=flags,
    )
    return Reading(landing, rule.number, rule.about, "tags")


def _tagged_source(
    values: Mapping[str, str], rows: list[ClickId], came_from: Referrer | None
) -> _Source:
    """Return the source of a tagged link; what its tags leave open, the rest fills."""
    source, medium = values.get("utm_source", ""), values.get("utm_medium", "")
    site = find_source(source) if source else None
    found = _Source(source, medium, site.kind if site else "")
    if rows:
        names = {source, site.name} if site else {source}
        speaker = next((row for row in rows if _speaks(row, names, medium)), None)
        if speaker is not None:
            found = _with_click(found, speaker)
    if not found.name and came_from is not None and came_from.site is not None:
        found = _Source(came_from.site.name, found.medium, came_from.site.kind)
    if not found.medium:
        hint = next((row for row in rows if row.role == "hint"), None)
        if hint is not None:
            found = _with_hint(found, hint)
    return found


def _speaks(row: ClickId, source_names: set[str], medium: str) -> bool:
    """Tell whether a paid click id is about the same click as the tags."""
    if row.role == "hint":
        return False
    # Publishers of an affiliate network tag links with their own names.
    if row.role == "affiliate" and not medium:
        return True
    if source_names == {""}:
        # A mail with a link that was copied, gclid and all, is still a mail.
        return medium in ("", "organic") or is_ad(medium)
    return not row.sources.isdisjoint(source_names)


def _with_click(found: _Source, row: ClickId) -> _Source:
    name, medium, kind, click = _by_click(row)
    if is_ad(found.medium) or (row.role == "affiliate" and found.medium):
        medium = found.medium
    return _Source(found.name or name, medium, found.kind or kind, click)


def _with_hint(found: _Source, row: ClickId) -> _Source:
    name, medium, kind, _ = _by_click(row)
    medium = medium if medium == "email" else ""
    if found.name:
        name, kind = found.name, found.kind
    return _Source(name, medium, kind)


def _by_site(kind: str, name: str) -> _Source:
    return _Source(name, "organic" if kind == "search" else "referral", kind)


def _by_click(row: ClickId) -> _Source:
    site = find_source("twitter" if row.platform == "x" else row.platform)
    click = ""
    if row.role == "affiliate":
        click = "affiliates"
    elif row.name == "dclid":
        click = "display"
    return _Source(row.platform, row.medium, site.kind if site else "", click)
