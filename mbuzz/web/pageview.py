"""What is a page view: decided by the request, then confirmed by the response."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import lru_cache

from mbuzz import guard
from mbuzz.web.request import Names, WebRequest
from mbuzz.web.response import Head
from mbuzz.web_options import WebOptions

_EXACT = frozenset(
    "/up /health /healthz /livez /readyz /ping /metrics /favicon.ico /robots.txt "
    "/sitemap.xml".split()
)
_PREFIXES = (
    *"/static/ /assets/ /media/ /packs/ /.well-known/ /__debug__/ /health/".split(),
    "/apple-touch-icon",
)
_EXTENSIONS = frozenset(
    "js mjs css map png jpg jpeg gif ico svg webp avif woff woff2 ttf eot otf mp3 mp4 "
    "webm webmanifest wasm xml txt json pdf zip gz".split()
)
_AHEAD = ("prefetch", "preview", "instant")
_SPECULATIVE = ("sec-purpose", "x-sec-purpose", "purpose", "x-purpose", "x-moz")
_BOTS = (
    "bot crawl spider slurp headless lighthouse preview monitor uptime pingdom curl "
    "wget python- httpx aiohttp go-http java/ okhttp axios node-fetch undici libwww "
    "scrapy facebookexternalhit whatsapp feed scan validator http:// https://"
).split()
_SHORTEST_AGENT, _LONGEST_AGENT = 12, 1_024  # characters
LONGEST_KEPT = 256  # characters of what is remembered: clients make up the rest
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
# Whoever sends none of these asks as browsers do by themselves.
_UNUSUAL = Names(
    "range",
    "upgrade",
    *_SPECULATIVE,
    *_PARTIALS,
    *("hx-preloaded", "x-turbo-request-id", "turbolinks-referrer"),
    *("x-inertia", "x-pjax", "x-barba", "x-requested-with"),
)
_FRAMES = ("iframe", "frame", "embed", "object", "fencedframe")
_REDIRECTS = (301, 302, 303, 307, 308)
HTML = ("text/html", "application/xhtml+xml")


class Kind(Enum):
    """How sure a request is to be somebody opening a page."""

    STRONG = "strong"  # the browser says so
    WEAK = "weak"  # it looks like it
    BOOSTED = "boosted"  # a script swaps the whole page


class Rules:
    """What a site counts: the options, ready for use."""

    __slots__ = ("_extensions", "_known", "_options", "_paths", "_should_track")

    def __init__(
        self, options: WebOptions, *, skip_paths: Iterable[str] | None = None
    ) -> None:
        """Take the *options*, and other *skip_paths* if there are any."""
        self._options = options
        paths = options.skip_paths if skip_paths is None else skip_paths
        self._paths = tuple(path.lower() for path in paths)
        self._extensions = frozenset(
            extension.lstrip(".").lower() for extension in options.skip_extensions
        )
        if options.skip_defaults:
            self._extensions |= _EXTENSIONS
        self._should_track = options.should_track
        self._known: Callable[[str], bool] = lru_cache(maxsize=4_096)(self._skips)

    def classify(self, request: WebRequest) -> Kind | None:
        """Return what kind of page view *request* can become, None if none of them.

        The cheapest tests come first.
        """
        if request.method != "GET" or self.skipped(request.path):
            return None
        kind = self._kind(request)
        if kind is None or self.allows(request):
            return kind
        return None

    def allows(self, request: WebRequest) -> bool:
        """Tell whether the site's own `should_track` lets a page count."""
        ask = self._should_track
        return ask is None or bool(guard.attempt(lambda: ask(request), _usual))

    def _kind(self, request: WebRequest) -> Kind | None:
        header, options = request.header, self._options
        mode = header("sec-fetch-mode")
        odd = request.has_any(_UNUSUAL)
        if mode is not None and mode != "navigate" and not odd:
            return None  # a script's own request, as most are
        if odd and self._is_odd(request):
            return None
        if not options.track_bots and is_bot(header("user-agent") or ""):
            return None
        if mode == "navigate":
            return self._navigation(header("sec-fetch-dest"))
        if mode is None and options.require_sec_fetch:
            return None
        if odd and _is_boosted(request):
            return Kind.BOOSTED if options.track_boosted else None
        if mode is not None:
            return None
        return Kind.WEAK if _looks_like_navigation(request) else None

    def _is_odd(self, request: WebRequest) -> bool:
        """Tell whether a request cannot show a page to anybody now."""
        header = request.header
        if header("range") or "websocket" in (header("upgrade") or "").lower():
            return True
        return not self._options.track_prefetches and is_prefetch(request)

    def _navigation(self, destination: str | None) -> Kind | None:
        # A service worker's pass-through fetch makes "empty" of "document".
        if destination in (None, "document", "empty"):
            return Kind.STRONG
        inside = self._options.track_iframes and destination in _FRAMES
        return Kind.STRONG if inside else None

    def marks(self, request: WebRequest) -> dict[str, object]:
        """Return the properties of a page view that only options let in."""
        found: dict[str, object] = {}
        if self._options.track_prefetches and is_prefetch(request):
            found["prefetch"] = True
        if self._options.track_bots and is_bot(request.header("user-agent") or ""):
            found["bot"] = True
        return found

    def skipped(self, path: str) -> bool:
        """Tell whether a path is an asset, a probe, or one that the site left out.

        Whole segments count: "/up" leaves "/upgrade" alone.
        """
        return self._known(path) if len(path) <= LONGEST_KEPT else self._skips(path)

    def _skips(self, path: str) -> bool:
        low = path.lower()
        if self._options.skip_defaults and (low in _EXACT or low.startswith(_PREFIXES)):
            return True
        _, dot, extension = low.rpartition("/")[2].rpartition(".")
        if dot and extension in self._extensions:
            return True
        return any(_is_within(low, entry) for entry in self._paths)

    def is_page(
        self, kind: Kind, request: WebRequest, head: Head, *, landing: bool
    ) -> bool:
        """Tell whether the response shows a page; *landing* is how a session begins.

        A redirect or an error counts where it is the landing itself, or the campaign
        would be lost.
        """
        status = head.status
        if status in _REDIRECTS:
            wanted = self._options.track_redirects
            if wanted == "landing":
                return landing or has_marketing(request.query)
            return bool(wanted)
        if status == 304:
            return True
        if status >= 400:
            lands = landing and kind is Kind.STRONG
            return (self._options.track_errors or lands) and _is_html(kind, head)
        if not 200 <= status < 300 or status in (204, 205, 206):
            return False
        if head.disposition.startswith("attachment"):
            return False
        return _is_html(kind, head)


def _usual(error: Exception) -> bool:
    guard.report("should_track", error)
    return True  # rather the page of somebody on the staff than none at all


def _is_html(kind: Kind, head: Head) -> bool:
    if not head.content_type:
        return kind is Kind.STRONG
    if head.content_type in HTML:
        return True
    is_inertia = kind is Kind.BOOSTED and head.inertia
    return is_inertia and head.content_type == "application/json"


def status_marks(status: int) -> Mapping[str, object]:
    """Return the properties of a page view that showed something else than a page."""
    if status in _REDIRECTS:
        return {"status": status, "redirect": True}
    return {"status": status} if status >= 400 else {}


def _is_within(path: str, entry: str) -> bool:
    """Tell whether *path* is *entry* or below it; "/" is the front page alone."""
    stem = entry.rstrip("/")
    return path in (entry, stem) or (stem != "" and path.startswith(f"{stem}/"))


def is_bot(user_agent: str) -> bool:
    """Tell whether a program asks that is nobody's browser."""
    if len(user_agent) > LONGEST_KEPT:
        return _sounds_like_a_bot(user_agent[:_LONGEST_AGENT])
    return _known_agent(user_agent)


def _sounds_like_a_bot(user_agent: str) -> bool:
    low = user_agent.lower()
    return len(low) < _SHORTEST_AGENT or any(token in low for token in _BOTS)


_known_agent = lru_cache(maxsize=1_024)(_sounds_like_a_bot)


def is_prefetch(request: WebRequest) -> bool:
    """Tell whether the browser only fetches ahead; nobody has seen that page yet."""
    header = request.header
    for name in _SPECULATIVE:
        value = header(name)
        if value and any(word in value.lower() for word in _AHEAD):
            return True
    return bool(header("hx-preloaded"))


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
    return any(kind in accepts for kind in HTML)


def has_marketing(query: str) -> bool:
    """Tell whether the URL carries a campaign's parameters."""
    return bool(query) and _MARKETING.search(query) is not None
