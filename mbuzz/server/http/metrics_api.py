"""`/metrics` for Prometheus, and who may read it."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response, text_response
from mbuzz.server.http.routes import Route
from mbuzz.server.metrics import CONTENT_TYPE, Metrics

PATH = "/metrics"

# What proxies add. One that adds none of these hands on the host it was asked for, or
# speaks HTTP/1.0 as nginx does unless told otherwise; so that is looked at, too.
_OF_PROXIES = (
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"),
    *("Via", "X-Real-IP", "CF-Connecting-IP"),
)
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class MetricsApi:
    """Shows the counts to whoever may see them."""

    def __init__(self, metrics: Metrics, who: str, token: str) -> None:
        self._metrics = metrics
        self._who = who
        self._token = f"Bearer {token}".encode() if token else None

    def routes(self) -> list[Route]:
        """Return the route, or none if it is switched off."""
        if self._who == "off":
            return []
        return [Route(method="GET", path=PATH, handler=self.metrics)]

    def metrics(self, request: Request) -> Response:
        """Return the counts as text."""
        if not (self._who == "all" or self._may(request) or is_local(request)):
            raise HttpError(
                403,
                "forbidden",
                "metrics are for this machine only; set metrics_token "
                "(MBUZZ_SERVER_METRICS_TOKEN) and send it as a bearer token",
            )
        headers = (("Cache-Control", "no-store"),)
        return text_response(self._metrics.text(), CONTENT_TYPE, headers)

    def _may(self, request: Request) -> bool:
        given = (request.header("Authorization") or "").encode("utf-8", "replace")
        return self._token is not None and hmac.compare_digest(given, self._token)


def is_local(request: Request) -> bool:
    """Tell whether a program of this machine asks, and no proxy for somebody else."""
    environ = request.environ
    try:
        peer = ip_address(
            str(environ.get("mbuzz.peer") or environ.get("REMOTE_ADDR") or "")
        )
    except ValueError:  # a Unix socket: who has that is a proxy
        return False
    mapped = getattr(peer, "ipv4_mapped", None)
    host = request.host.lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return (
        (mapped or peer).is_loopback
        and name in _LOCAL_HOSTS
        and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
        and not any(request.header(header) for header in _OF_PROXIES)
    )
