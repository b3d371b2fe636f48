"""The web application being tracked: what outlives its requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from mbuzz import api, guard
from mbuzz.client import Client
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.config import Config
from mbuzz.context import is_within
from mbuzz.forwarded import Trust
from mbuzz.web.endpoints import Endpoints
from mbuzz.web.exchange import Exchange
from mbuzz.web.late import LateAnswers
from mbuzz.web.pacing import Pacing
from mbuzz.web.pageview import LONGEST_KEPT, Rules
from mbuzz.web.request import NOBODY, WebRequest
from mbuzz.web_options import WebOptions

_MARK = "mbuzz.context"
_MOST_PATHS = 4_096

Reader = Callable[[Any, Trust], WebRequest]


def is_served(around: Mapping[str, Any]) -> bool:
    """Tell whether a middleware further out tracks this very request already.

    *around* is what both see of it: the WSGI environ or the ASGI scope.
    """
    mark = around.get(_MARK)
    return mark is not None and is_within(mark)


class Site:
    """The web application being tracked; one for each middleware."""

    def __init__(self) -> None:
        self.late = LateAnswers(SYSTEM_CLOCK)
        self.pacing = Pacing(SYSTEM_CLOCK)
        # Paths where new visitors have come: whether their browsers got cookies.
        self._landings: dict[str, bool] = {}
        self._adopted: Config | None = None

    def _adopt(self, config: Config) -> None:
        """Get ready for what the client in use wants of the web."""
        proxies = config.trusted_proxies
        self.trust = Trust.of(proxies) if proxies else NOBODY
        self.rules = self.make_rules(config)
        self.endpoints = Endpoints(config)
        self.options: WebOptions = config
        self._adopted = config  # last: other threads ask by it whether all is ready

    def make_rules(self, options: WebOptions) -> Rules:
        """Return what counts here; frameworks know more of a site than its options."""
        return Rules(options)

    def begin(
        self, read: Reader, given: Any, around: MutableMapping[str, Any]
    ) -> Exchange | None:
        """Return the exchange for a request, or None if it is not to be tracked.

        *read* makes a request of what the server has *given*; *around* is marked for
        `is_served`. Never raises.
        """
        client = api.default_client()
        if client is None or not client.config.enabled:
            return None
        return guard.attempt(
            lambda: self._begin(client, read, given, around), _untracked
        )

    def _begin(
        self,
        client: Client,
        read: Reader,
        given: Any,
        around: MutableMapping[str, Any],
    ) -> Exchange:
        if client.config is not self._adopted:
            self._adopt(client.config)
        exchange = Exchange(self, client, read(given, self.trust))
        around[_MARK] = exchange.context
        return exchange

    def welcomes(self, path: str) -> bool:
        """Tell whether new visitors got cookies with this page before.

        Only then is one announced to the backend while the page is still being made:
        where a shared cache keeps the page, where it is a file or a probe, no cookie
        goes out, and the visitor would be one that nobody ever sees again.
        """
        return self._landings.get(path, False)

    def landed(self, path: str, *, got_cookies: bool) -> None:
        """Note what became of a new visitor."""
        if len(path) > LONGEST_KEPT:
            return
        if len(self._landings) >= _MOST_PATHS and path not in self._landings:
            self._landings.clear()
        self._landings[path] = got_cookies


def _untracked(error: Exception) -> None:
    guard.report("web request", error)
