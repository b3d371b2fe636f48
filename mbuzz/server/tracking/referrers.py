"""Referrers: whether a visitor came from elsewhere, and from where."""

from __future__ import annotations

from typing import Final, NamedTuple

from mbuzz.server.policy import DEFAULT, Policy
from mbuzz.server.tracking.hosts import (
    normalize_host,
    registrable_domain,
    split_origin,
    suffixes,
    without_www,
)
from mbuzz.server.tracking.sources import Site, find_host

# Sites of these kinds send visitors by themselves; mail, payment and unknown sites
# also send back people who were here before.
KNOWN_KINDS: Final = frozenset({"search", "social", "video", "shopping", "ai"})


class Referrer(NamedTuple):
    """Where a visitor came from.

    `site` is None when the referrer does not count: the site itself, or a payment or
    sign-on page on the way back.
    """

    site: Site | None
    own_host: bool = False  # exactly the page's host


_SELF: Final = Referrer(None)
_OWN_HOST: Final = Referrer(None, own_host=True)
_EXCLUDED: Final = Referrer(None)


def referrer_host(referrer: str) -> str | None:
    """Return the normalized host, ``app:package`` for Android; None if it has none."""
    origin = split_origin(referrer)
    if origin is None:
        return None
    scheme, authority, _ = origin
    if scheme not in ("https", "http", "android-app"):
        return None
    host = normalize_host(authority)
    return f"app:{host}" if host and scheme == "android-app" else host


def read_referrer(
    referrer: str, site_host: str | None, policy: Policy = DEFAULT
) -> Referrer | None:
    """Return where *referrer* points, seen from *site_host*; None if it says nothing.

    Listed hosts come before the test for the site's own domain, so that sites of one
    platform (``blog.naver.com``, ``shop.naver.com``) stay apart. What the account says
    about a host comes before the list.
    """
    host = referrer_host(referrer)
    if host is None:
        return None
    if site_host is not None and without_www(host) == without_www(site_host):
        return _OWN_HOST
    site = find_host(host)
    if policy.excluded_referrers or policy.counted_referrers:
        chosen = said_of(host, policy)
        if chosen == "excluded":
            return _EXCLUDED
        if chosen == "counted" and site is not None and site.kind == "excluded":
            site = None
    if site is not None:
        return _EXCLUDED if site.kind == "excluded" else Referrer(site)
    if _is_own(host, site_host, policy.own_domains):
        return _SELF
    kind = "email" if host.startswith("webmail.") else "referral"
    return Referrer(Site(kind, without_www(host).removeprefix("app:")))


def said_of(host: str, policy: Policy) -> str:
    """Return what the account says of a host; the most specific entry wins."""
    for domain in suffixes(host):
        if domain in policy.excluded_referrers:
            return "excluded"
        if domain in policy.counted_referrers:
            return "counted"
    return ""


def is_spam(referrer: str, policy: Policy) -> bool:
    """Tell whether *referrer* is of a host that the account counts as spam."""
    host = referrer_host(referrer)
    return host is not None and not policy.spam_referrers.isdisjoint(suffixes(host))


def _is_own(host: str, site_host: str | None, own_domains: frozenset[str]) -> bool:
    if own_domains and not own_domains.isdisjoint(suffixes(host)):
        return True
    return site_host is not None and (
        registrable_domain(host) == registrable_domain(site_host)
    )
