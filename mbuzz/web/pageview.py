"""What is a page view: decided by the request, then confirmed by the response."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

from mbuzz.web.request import WebRequest

Headers = Sequence[tuple[str, str]]

_EXACT = frozenset(
    "/up /health /healthz /livez /readyz /ping /metrics /favicon.ico /robots.txt "
    "/sitemap.xml".split()
)
_PREFIXES = (
    "/static/ /assets/ /media/ /packs/ /.well-known/ /__debug__/ /health/".split()
)
_EXTENSIONS = frozenset(
    "js mjs css map png jpg jpeg gif ico svg webp avif woff woff2 ttf eot otf mp3 mp4 "
    "webm webmanifest wasm xml txt json pdf zip gz".split()
)
_SPECULATIVE = ("sec-purpose", "x-sec-purpose", "purpose", "x-purpose", "x-moz")
_BOTS = (
    "bot crawl spider slurp headless lighthouse preview monitor uptime pingdom curl "
    "wget python- httpx aiohttp go-http java/ okhttp axios node-fetch undici libwww "
    "scrapy facebookexternalhit whatsapp feed scan validator http:// https://"
).split()
_SHORTEST_AGENT = 12  # characters
_PARTIALS = (
    "turbo-frame",
    "hx-request",
    "x-up-version",
    "x-inertia-partial-component",
    "datastar-request",
)
_WHOLE_PAGE = ("body", "html", "main", ":main", ":layer")  # targets of Unpoly
_MARKETING = re.compile(
    r"(?:^|&)(?:utm_\w+|gclid|gbraid|wbraid|dclid|fbclid|msclkid|ttclid|twclid"
    r"|li_fat_id|yclid)=",
    re.IGNORECASE,
)
_HTML = ("text/html", "application/xhtml+xml")


class Kind(Enum):
    """How sure a request is to be somebody opening a page."""

    NONE = "none"
    STRONG = "strong"  # the browser says so
    WEAK = "weak"  # it looks like it
    BOOSTED = "boosted"  # a script swaps the whole page

    @property
    def counts(self) -> bool:
        """Tell whether a page may be counted for it."""
        return self is not Kind.NONE


def classify(request: WebRequest, skip_paths: Sequence[str] = ()) -> Kind:
    """Return what kind of page view *request* can become; the cheapest tests first."""
    if request.method != "GET" or skipped(request.path, tuple(skip_paths)):
        return Kind.NONE
    header = request.header
    if "websocket" in (header("upgrade") or "").lower() or header("range"):
        return Kind.NONE
    if _is_speculative(request):
        return Kind.NONE
    if is_bot(header("user-agent") or ""):
        return Kind.NONE
    mode = header("sec-fetch-mode")
    if mode == "navigate":
        return _navigation(header("sec-fetch-dest"))
    if mode is not None:
        return Kind.BOOSTED if _is_boosted(request) else Kind.NONE
    if _is_boosted(request):
        return Kind.BOOSTED
    return Kind.WEAK if _looks_like_navigation(request) else Kind.NONE


def _navigation(destination: str | None) -> Kind:
    # A service worker's pass-through fetch makes "empty" of "document".
    return Kind.STRONG if destination in (None, "document", "empty") else Kind.NONE


@lru_cache(maxsize=2048)
def skipped(path: str, skip_paths: tuple[str, ...] = ()) -> bool:
    """Tell whether a path is an asset, a probe, or one that the site left out.

    Whole segments count: "/up" leaves "/upgrade" alone.
    """
    low = path.lower()
    if low in _EXACT or low.startswith(("/apple-touch-icon", *_PREFIXES)):
        return True
    _, dot, extension = low.rpartition("/")[2].rpartition(".")
    if dot and extension in _EXTENSIONS:
        return True
    return any(_is_within(low, entry.lower()) for entry in skip_paths)


def _is_within(path: str, entry: str) -> bool:
    """Tell whether *path* is *entry* or below it; "/" is the front page alone."""
    stem = entry.rstrip("/")
    return path in (entry, stem) or (stem != "" and path.startswith(f"{stem}/"))


@lru_cache(maxsize=1024)
def is_bot(user_agent: str) -> bool:
    """Tell whether a program asks that is nobody's browser."""
    low = user_agent.lower()
    return len(low) < _SHORTEST_AGENT or any(token in low for token in _BOTS)


def _is_speculative(request: WebRequest) -> bool:
    """Tell whether the browser only fetches ahead; nobody has seen that page yet."""
    for name in _SPECULATIVE:
        value = (request.header(name) or "").lower()
        if value and any(word in value for word in ("prefetch", "preview", "instant")):
            return True
    return bool(request.header("hx-preloaded"))


def _is_boosted(request: WebRequest) -> bool:
    """Tell whether a library loads a whole page by script."""
    header = request.header
    if header("x-turbo-request-id"):
        accepts = header("accept") or ""
        partial = header("turbo-frame") or "turbo-stream" in accepts
        return not partial and "text/html" in accepts
    if header("hx-request"):
        return header("hx-boosted") == "true" and not header(
            "hx-history-restore-request"
        )
    if header("x-inertia"):
        return not header("x-inertia-partial-component")
    if header("x-up-version"):
        return header("x-up-target") in _WHOLE_PAGE and not header("x-up-validate")
    if header("x-requested-with") == "swup":
        return True
    return bool(header("turbolinks-referrer") or header("x-pjax") or header("x-barba"))


def _looks_like_navigation(request: WebRequest) -> bool:
    """Judge by what old browsers and plain http leave to judge by."""
    header = request.header
    if header("x-requested-with") == "XMLHttpRequest":
        return False
    if any(header(name) for name in _PARTIALS):
        return False
    accepts = header("accept") or ""
    return any(kind in accepts for kind in _HTML)


def has_marketing(query: str) -> bool:
    """Tell whether the URL carries a campaign's parameters."""
    return bool(query) and _MARKETING.search(query) is not None


def is_page(kind: Kind, status: int, headers: Headers, *, landing: bool) -> bool:
    """Tell whether the response shows a page; *landing* is how a session begins.

    A redirect counts where it is the landing itself, or the campaign would be lost.
    """
    if status in (301, 302, 303, 307, 308):
        return landing
    if status == 304:
        return True
    if not 200 <= status < 300 or status in (204, 205, 206):
        return False
    content_type = disposition = inertia = ""
    for name, value in headers:
        low = name.lower()
        if low == "content-type":
            content_type = value.partition(";")[0].strip().lower()
        elif low == "content-disposition":
            disposition = value.strip().lower()
        elif low == "x-inertia":
            inertia = value
    if disposition.startswith("attachment"):
        return False
    if not content_type:
        return kind is Kind.STRONG
    is_inertia = kind is Kind.BOOSTED and bool(inertia)
    return content_type in _HTML or (is_inertia and content_type == "application/json")


def may_carry_cookies(method: str, status: int, headers: Headers) -> bool:
    """Tell whether a cookie on this response reaches this browser and no other.

    What a shared cache may keep, it may keep with the cookie (RFC 9111, 7.3).
    """
    if method == "HEAD" or status < 200 or status in (204, 206, 304):
        return False
    return not any(_is_shared(name.lower(), value.lower()) for name, value in headers)


def _is_shared(name: str, value: str) -> bool:
    """Tell whether a header lets a shared cache keep the response."""
    if "private" in value or "no-store" in value:
        return False
    if name == "cache-control":
        return "public" in value or "s-maxage" in value
    return name in ("cdn-cache-control", "surrogate-control")
