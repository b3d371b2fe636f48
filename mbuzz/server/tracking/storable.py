"""Storable URLs: what is kept of an address, without secrets and e-mail addresses."""

from __future__ import annotations

import re
from typing import Final

from mbuzz.server.tracking.hosts import split_origin
from mbuzz.server.tracking.referrers import referrer_host
from mbuzz.server.tracking.sources import find_host
from mbuzz.server.tracking.utm import EMAIL, decode, has_email, parameter_name

MAX_STORED: Final = 2048  # characters

_WORD: Final = re.compile(r"[a-z0-9]+")
_SECRET_WORDS: Final = frozenset(
    {"token", "key", "password", "secret", "email", "phone", "ssn"}
)
# Too common as a part of harmless names: promo_code, us_state, card_color.
_SECRET_NAMES: Final = frozenset({"code", "state", "card"})
# Search engines' names for what the visitor typed.
_SEARCH_TERMS: Final = frozenset({"q", "p", "wd", "text", "query"})
_UNSTORABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def stored_url(
    url: str,
    *,
    keep: frozenset[str] = frozenset(),
    drop: frozenset[str] = frozenset(),
) -> str:
    """Return *url* for storage: without secrets and e-mail addresses, and cut.

    Parameters whose names sound secret go, except those of *keep*, and all of *drop*;
    user name and password go as well, and a fragment with parameters as a whole.
    """
    url, _, fragment = _UNSTORABLE.sub("", url).strip().partition("#")
    start, _, query = url.partition("?")
    start = _public_path(start)
    kept = [
        part
        for part in query.split("&")
        if part.strip() and not _is_secret(part, keep, drop)
    ]
    if kept:
        start += "?" + "&".join(map(_public_parameter, kept))
    if fragment.strip() and "=" not in fragment and not has_email(fragment):
        start += "#" + fragment
    return start[:MAX_STORED].strip()


def stored_referrer(referrer: str | None) -> str | None:
    """Return *referrer* for storage, without query and fragment; None if it is none.

    Search terms stay, of search engines only.
    """
    host = referrer_host(referrer) if referrer else None
    if referrer is None or host is None:
        return None
    page, _, query = (
        _UNSTORABLE.sub("", referrer).strip().partition("#")[0].partition("?")
    )
    page = _public_path(page)
    site = find_host(host) if query else None
    if site is not None and site.kind == "search":
        terms = [
            _public_parameter(part)
            for part in query.split("&")
            if parameter_name(part.partition("=")[0]) in _SEARCH_TERMS
        ]
        if terms:
            page += "?" + "&".join(terms)
    return page[:MAX_STORED].strip()


def _public_path(url: str) -> str:
    """Return a URL without query, user info and e-mail addresses."""
    origin = split_origin(url)
    start = ""
    if origin is not None:
        scheme_end = origin[2] - len(origin[1])
        start = url[:scheme_end] + origin[1].rpartition("@")[2]
        url = url[origin[2] :]
    if "@" in url or "%40" in url:
        parts = url.split("/")
        url = "/".join(EMAIL if has_email(part) else part for part in parts)
    return start + url


def _is_secret(parameter: str, keep: frozenset[str], drop: frozenset[str]) -> bool:
    name = parameter_name(parameter.partition("=")[0])
    if name in drop:
        return True
    if name in keep:
        return False
    if name in _SECRET_NAMES or has_email(name):
        return True
    return not _SECRET_WORDS.isdisjoint(_WORD.findall(name))


def _public_parameter(parameter: str) -> str:
    name, _, value = parameter.partition("=")
    return f"{name}={EMAIL}" if has_email(decode(value)) else parameter
