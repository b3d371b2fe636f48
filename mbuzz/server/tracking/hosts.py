"""Host names: one spelling for each, and the domain that somebody registered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

_MAX_AUTHORITY: Final = 1024  # user info and port included; longer is an attack
_MAX_HOST: Final = 253  # RFC 1035

_ORIGIN: Final = re.compile(r"\s*(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#]*)")
_PORT: Final = re.compile(r":[0-9]*$")
_NAME: Final = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_IPV6: Final = re.compile(r"\[[0-9a-f:.]+\]")

# Instead of the public suffix list, which is 300 kB and changes weekly.
_SECOND_LEVEL: Final = frozenset(
    "co com org net gov edu ac ne or go gob gouv govt ltd plc me nom school".split()
)
# Platforms where every customer gets a label.
_SHARED: Final = frozenset(
    """
    github.io gitlab.io pages.dev workers.dev vercel.app netlify.app herokuapp.com
    fly.dev onrender.com railway.app web.app firebaseapp.com appspot.com
    azurewebsites.net cloudfront.net amazonaws.com blogspot.com wordpress.com tumblr.com
    wixsite.com weebly.com myshopify.com substack.com webflow.io carrd.co notion.site
    glitch.me replit.app streamlit.app hf.space surge.sh ngrok.io ngrok-free.app
    trycloudflare.com ghost.io framer.app bubbleapps.io
    """.split()
)


def split_origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, authority and where the rest begins; None without ``//``.

    The scheme is in lower case, and empty for ``//host/path``.
    """
    found = _ORIGIN.match(url)
    if found is None:
        return None
    return (found[1] or "").lower(), found[2], found.end()


def normalize_host(authority: str) -> str | None:
    """Return the host of ``user@host:port`` in lower-case ASCII; None if it is none.

    IPv6 literals keep their brackets.
    """
    return _normalized(authority) if len(authority) <= _MAX_AUTHORITY else None


@lru_cache(maxsize=4096)
def _normalized(authority: str) -> str | None:
    # Browsers read a backslash as a slash, so the host before it would be the real one.
    if "\\" in authority:
        return None
    host = authority.rpartition("@")[2].strip().lower()
    host = _PORT.sub("", host).rstrip(".")
    if host.startswith("["):
        return host if _IPV6.fullmatch(host) else None
    if len(host) > _MAX_HOST:
        return None
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return None
    # After IDNA, not before: compatibility characters can turn into "/" or "?".
    return host if _NAME.fullmatch(host) and len(host) <= _MAX_HOST else None


def without_www(host: str) -> str:
    """Return *host* without one leading ``www.``."""
    return host.removeprefix("www.")


def suffixes(host: str) -> Iterator[str]:
    """Yield *host* and its parent domains, the longest first."""
    yield host
    dot = host.find(".")
    while dot >= 0:
        host = host[dot + 1 :]
        yield host
        dot = host.find(".")


def registrable_domain(host: str) -> str:
    """Return the part of *host* that one owner registered.

    An estimate from fixed tables; IP addresses and single labels come back whole.
    """
    labels = host.split(".")
    if len(labels) <= 2 or host.startswith("[") or labels[-1].isdigit():
        return host
    country = len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    shared = f"{labels[-2]}.{labels[-1]}" in _SHARED
    return ".".join(labels[-3 if country or shared else -2 :])
