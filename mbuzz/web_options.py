"""The options of the web adapters: page views, cookies, consent, who is asking."""

from __future__ import annotations

from mbuzz import option_checks as checks
from mbuzz.errors import ConfigurationError
from mbuzz.values import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from mbuzz.web.request import WebRequest

COLLECTED = ("track", "identify", "group")  # calls that scripts of a page may make

_FLAGS = (
    *("track_bots", "track_boosted", "track_errors", "track_iframes"),
    *("track_prefetches", "require_sec_fetch", "respect_gpc", "respect_dnt"),
    *("send_ip", "detect_user", "handshake", "session_endpoint", "skip_defaults"),
)
_WORDS = ("skip_extensions", "collect")
CALLBACKS = ("should_track", "consent")


class WebOptions(Frozen):
    """The part of `mbuzz.Config` that web adapters read. Times are seconds.

    `should_track` may refuse a page view: it gets the request and returns True or
    False. `consent` gets it, too, and returns True (granted), False (denied) or None
    (not known yet); without it everybody consents.
    """

    # page views
    skip_paths: tuple[str, ...] = ()  # whole segments: "/admin" is not "/administer"
    skip_extensions: tuple[str, ...] = ()  # beside those of assets: "csv"
    skip_defaults: bool = True  # also leave out usual assets, probes and their like
    should_track: Callable[[WebRequest], object] | None = None
    track_boosted: bool = True  # whole pages that scripts load: Turbo, htmx, ...
    track_redirects: bool | Literal["landing"] = "landing"
    track_errors: bool = False  # also where no session begins
    track_bots: bool = False
    track_iframes: bool = False
    track_prefetches: bool = False
    require_sec_fetch: bool = False  # believe only browsers that say what they do
    detect_user: bool = True  # where the framework has loaded the user anyway
    # cookies
    cookie_secure: bool | Literal["auto"] = "auto"
    cookie_domain: str | None = None
    handshake: bool = True  # ask the backend for the cookies of a new session
    handshake_wait: float = 0.05
    # consent
    consent: Callable[[WebRequest], object] | None = None
    respect_gpc: bool = False  # Sec-GPC: 1 is a refusal
    respect_dnt: bool = False
    # the other end
    trusted_proxies: int | tuple[str, ...] = ()
    send_ip: bool = False  # shortened to its network
    # what the page's own scripts may ask
    endpoint_prefix: str = "/_mbuzz"
    session_endpoint: bool = False  # cookies for pages that come from a cache
    collect: tuple[str, ...] = ()  # of "track", "identify", "group"

    def _check_web(self) -> None:
        set_ = self.__dict__.__setitem__
        for name in _FLAGS:
            checks.flag(name, getattr(self, name))
        for name in CALLBACKS:
            checks.plain_function(name, getattr(self, name))
        if self.cookie_secure != "auto":
            checks.flag("cookie_secure", self.cookie_secure, also=" or 'auto'")
        if self.track_redirects != "landing":
            checks.flag("track_redirects", self.track_redirects, also=" or 'landing'")
        # A page waits so long for the backend: whoever says 50 means milliseconds.
        checks.seconds("handshake_wait", self.handshake_wait, zero=True, most=10)
        checks.domain(self.cookie_domain)
        set_("skip_paths", checks.paths("skip_paths", self.skip_paths))
        for name in _WORDS:
            set_(name, checks.words(name, getattr(self, name)))
        for call in self.collect:
            checks.choice("each of collect", call, COLLECTED)
        set_("endpoint_prefix", checks.prefix("endpoint_prefix", self.endpoint_prefix))
        if self.trusted_proxies != ():
            set_("trusted_proxies", _proxies(self.trusted_proxies))


def _proxies(given: int | tuple[str, ...]) -> int | tuple[str, ...]:
    """Return how many proxies, or which networks, are believed."""
    if isinstance(given, list | tuple) and len(given) == 1:
        only = str(given[0])
        given = int(only) if only.isdecimal() else given  # as from the environment
    from mbuzz.forwarded import Trust

    try:
        Trust.of(given)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return given if isinstance(given, int) else tuple(given)
