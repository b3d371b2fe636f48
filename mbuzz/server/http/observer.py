"""What is noted of every request: its id, a line in the log, counts and duration."""

from __future__ import annotations

import itertools
import logging
import re
from typing import Final

from mbuzz import ids, protocol
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response
from mbuzz.server.metrics import Metrics

_logger = logging.getLogger("mbuzz.server.access")

REQUEST_ID: Final = "X-Request-Id"
UNKNOWN: Final = "unknown"  # the route of a path that is in no table

# What proxies and frameworks make. Keys have a form of their own, and are refused.
_WELL_FORMED: Final = re.compile(r"(?!.*[sp]k_)[A-Za-z0-9._:+=-]{1,64}")
_METHODS: Final = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())
_SINGLES: Final = frozenset(
    f"{protocol.API_PREFIX}/{call}" for call in ("identify", "alias", "group")
)
_CONVERSIONS: Final = f"{protocol.API_PREFIX}/conversions"


class Observer:
    """Watches the requests of one application.

    A request is logged with the route that it took, never with its path, query,
    headers, body or address: each may carry a secret or a person.
    """

    def __init__(self, metrics: Metrics, access_log: str = "errors") -> None:
        self._metrics = metrics
        self._log_all = access_log == "all"
        self._log_errors = access_log != "off"
        self._prefix = ids.token(6)
        self._count = itertools.count(1)

    def request_id(self, request: Request) -> str:
        """Return the id that the request came with, or a new one."""
        given = request.environ.get("HTTP_X_REQUEST_ID")
        if given and _WELL_FORMED.fullmatch(given):
            return str(given)
        return f"{self._prefix}-{next(self._count)}"

    def answered(self, request: Request, response: Response, began: float) -> str:
        """Note an answer to what *began* at a monotonic moment; return the id."""
        seconds = SYSTEM_CLOCK.monotonic() - began
        method = request.method if request.method in _METHODS else "OTHER"
        route, status = request.route or UNKNOWN, response.status
        self._metrics.answered(method, route, status, seconds)
        if method == "POST" and status in (200, 201, 422):
            self._count_call(route, status)
        request_id = self.request_id(request)
        if self._log_all or (status >= 400 and self._log_errors):
            _logger.log(
                logging.WARNING if status >= 500 else logging.INFO,
                "answered (method=%s, route=%s, status=%d, ms=%.1f, bytes=%d, "
                "key=%s, request_id=%s)",
                method,
                route,
                status,
                seconds * 1000,
                len(response.body),
                request.key_id or "-",
                request_id,
            )
        return request_id

    def _count_call(self, route: str, status: int) -> None:
        """Count a call that came by itself; batches tell of their items."""
        if route == _CONVERSIONS:
            if status == 201:
                self._metrics.took(1, conversions=1)
            elif status == 200:
                self._metrics.took(0, duplicates=1)
            else:
                self._metrics.took(0, rejected=("invalid",))
        elif route in _SINGLES:
            taken = status != 422
            self._metrics.took(int(taken), rejected=() if taken else ("invalid",))
