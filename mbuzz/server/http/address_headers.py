"""What the headers of proxies say of a request: address, scheme and host, unjudged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from mbuzz.forwarded import Trust, forwarded_value

_MOST_ELEMENTS: Final = 32  # of a Forwarded header that are read, the last ones
_ONE_HOP: Final = Trust.of(1)


class Behind(NamedTuple):
    """Who is behind the proxies; "" and None where they do not say."""

    address: str
    scheme: str | None
    host: str | None


Reader = Callable[[Trust, Mapping[str, Any]], Behind | None]


def _x_forwarded(trust: Trust, environ: Mapping[str, Any]) -> Behind | None:
    """Read `X-Forwarded-For`, `-Proto` and `-Host`, as most proxies write them."""
    peer, said = _peer(environ), _said(environ, "X_FORWARDED_FOR")
    if not trust.hops(peer, said):
        return None
    return Behind(
        trust.client(peer, said) or "",
        forwarded_value(_said(environ, "X_FORWARDED_PROTO")),
        forwarded_value(_said(environ, "X_FORWARDED_HOST")),
    )


def _forwarded(trust: Trust, environ: Mapping[str, Any]) -> Behind | None:
    """Read `Forwarded`, RFC 7239: each proxy adds an element to the end of it.

    Scheme and host are those that the farthest trusted proxy was asked for.
    """
    peer = _peer(environ)
    elements = _elements(_said(environ, "FORWARDED"))
    said = ",".join(element.get("for", "unknown") for element in elements)
    hops = trust.hops(peer, said)
    if not hops:
        return None
    last = elements[-min(hops, len(elements))] if elements else {}
    return Behind(
        trust.client(peer, said) or "",
        forwarded_value(last.get("proto", "")),
        forwarded_value(last.get("host", "")),
    )


def _cf_connecting_ip(trust: Trust, environ: Mapping[str, Any]) -> Behind | None:
    """Read `CF-Connecting-IP`: one address, whatever came to Cloudflare before.

    `X-Forwarded-Proto` is Cloudflare's as well; the host it hands on as it is.
    Source: Cloudflare's "HTTP request headers".
    """
    peer = _peer(environ)
    if not trust.hops(peer, ""):
        return None
    said = _said(environ, "CF_CONNECTING_IP")
    address = "" if "," in said else _ONE_HOP.client(peer, said)
    scheme = forwarded_value(_said(environ, "X_FORWARDED_PROTO"))
    return Behind(address or peer, scheme, None)


READERS: Final[Mapping[str, Reader]] = {
    "x-forwarded-for": _x_forwarded,
    "forwarded": _forwarded,
    "cf-connecting-ip": _cf_connecting_ip,
}


def _peer(environ: Mapping[str, Any]) -> str:
    return str(environ.get("REMOTE_ADDR") or "")


def _said(environ: Mapping[str, Any], name: str) -> str:
    return str(environ.get(f"HTTP_{name}", ""))


def _elements(header: str) -> list[dict[str, str]]:
    """Return the last elements of a `Forwarded` header, in their order.

    They are told apart by every comma, also within quotes: no address, scheme or host
    has one, and a stranger's open quote must not swallow what a proxy wrote after it.
    """
    if not header:
        return []
    parts = header.rsplit(",", _MOST_ELEMENTS)[-_MOST_ELEMENTS:]
    return [_pairs(part) for part in parts]


def _pairs(element: str) -> dict[str, str]:
    """Return what an element says by name; nothing if it says it twice or badly."""
    found: dict[str, str] = {}
    for pair in element.split(";"):
        name, equals, value = pair.strip(" \t").partition("=")
        if value[:1] == '"' == value[-1:] and len(value) > 1:
            value = value[1:-1]
        name = name.lower()
        if not equals or name in found or '"' in value or "\\" in value:
            return {}
        found[name] = value
    return found
