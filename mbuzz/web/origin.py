"""Did a page of this very site send the request?

The answer protects what changes something or tells something about the visitor: other
sites can make a browser send requests, with cookies, but cannot choose these headers.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_HOST = r"([a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?"
_FLAGS = re.ASCII | re.IGNORECASE  # ASCII: or the Kelvin sign would be a k
_ASKED = re.compile(_HOST, _FLAGS)
_ORIGIN = re.compile(rf"(https?)://{_HOST}", _FLAGS)
# Backslashes, userinfo, anything else behind the host: no browser sends such a Referer.
_PAGE = re.compile(rf"(https?)://{_HOST}(?:[/?#]|\Z)", _FLAGS)
_NEVER_IN_A_URL = re.compile(r"[\x00-\x20\x7f]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def is_same_origin(
    header: Callable[[str], str | None], host: str | None, scheme: str
) -> bool:
    """Tell whether a browser sent the request for a page of the same origin.

    *header* returns a header by its lower-case name, or None; *host* is the host that
    the browser asked for, with its port if it is not the scheme's own; *scheme* is
    "http" or "https". `Sec-Fetch-Site` decides if it is there, else `Origin`, else
    `Referer`. Without any of them the answer is no.

    Hosts and ports must be the same, and "https" must not have come from "http". The
    reverse is let pass: a *scheme* of "http" may only mean that TLS ended at a proxy
    that nobody told us about, and then the port left out is the one of the page's
    scheme. So with such a proxy a page that was tampered with on its way over plain
    http counts as the site's own; naming the proxy in `trusted_proxies` closes that,
    and so does Strict-Transport-Security. A proxy that changes the host without telling
    makes the answer no.
    """
    site = header("sec-fetch-site")
    if site is not None:
        return site.strip(" \t").lower() == "same-origin"
    origin = header("origin")
    if origin is not None:
        return _agrees(_ORIGIN.fullmatch(origin.strip(" \t")), host, scheme)
    page = header("referer")
    if page is None or _NEVER_IN_A_URL.search(page):
        return False
    return _agrees(_PAGE.match(page), host, scheme)


def _agrees(sender: re.Match[str] | None, host: str | None, scheme: str) -> bool:
    """Tell whether a scheme, host and port of a page are those that were asked for."""
    asked = _ASKED.fullmatch(host) if host else None
    if sender is None or asked is None:
        return False
    page_scheme = sender[1].lower()
    if scheme.lower() == "https" != page_scheme:
        return False
    default = _DEFAULT_PORTS[page_scheme]
    ours = (asked[1].lower(), int(asked[2] or default))
    return ours == (sender[2].lower(), int(sender[3] or default))
