"""Who may call what: the key of a request, its scopes, and its allowance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mbuzz import protocol
from mbuzz.clock import Clock
from mbuzz.server.http.errors import HttpError
from mbuzz.server.http.key_cache import KeyCache
from mbuzz.server.http.request import Request
from mbuzz.server.http.response import Response
from mbuzz.server.http.routes import Handler, Route
from mbuzz.server.ingestion.keys import KeyRefusedError
from mbuzz.server.ingestion.ratelimit import Allowance, RateLimiter
from mbuzz.server.networks import Networks
from mbuzz.server.storage.port import Storage
from mbuzz.server.storage.rows.accounts import ApiKey

ANY: Final = "any"  # the scope that every key has
KeyHandler = Callable[[Request, ApiKey], Response]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRoute:
    """A route under the API's prefix; its handler is handed the request's key."""

    method: str
    path: str
    handler: KeyHandler
    scope: str


class Access:
    """Lets a handler see only requests with a key that may, and has allowance left."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        limiter: RateLimiter,
        datacenters: Networks | None = None,
    ) -> None:
        self._keys = KeyCache(storage, clock, datacenters)
        self._limiter = limiter

    def route(self, route: KeyRoute) -> Route:
        """Return the route as the router takes it."""
        return Route(
            method=route.method,
            path=protocol.API_PREFIX + route.path,
            handler=self._guarded(route.handler, route.scope),
            scope=route.scope,
        )

    def _guarded(self, handler: KeyHandler, scope: str) -> Handler:
        def answer(request: Request) -> Response:
            key = self.authenticate(request)
            self.admit(request, key, scope)
            return handler(request, key)

        return answer

    def admit(self, request: Request, key: ApiKey, scope: str) -> None:
        """Let *key* do something once; whatever is answered tells of its allowance.

        Raises:
            HttpError: If it may not, or has no allowance left.
        """
        request.answer_headers += self.spend(key)
        _check_scope(key, scope)

    def spend(self, key: ApiKey) -> list[tuple[str, str]]:
        """Use one request of the key's allowance; return the headers that tell of it.

        Raises:
            HttpError: 429 if there is none left.
        """
        allowance = self._limiter.take(key.id)
        headers = _rate_headers(allowance)
        if not allowance.allowed:
            raise HttpError(
                429,
                "rate_limited",
                f"too many requests with this key; wait {allowance.retry_after} s",
                headers=[*headers, ("Retry-After", str(allowance.retry_after))],
            )
        return headers

    def authenticate(self, request: Request) -> ApiKey:
        """Return the key that the request carries.

        Raises:
            HttpError: 401, each way to fail with a sentence of its own.
        """
        try:
            key = self._keys.find(request.environ.get("HTTP_AUTHORIZATION"))
        except KeyRefusedError as error:
            raise HttpError(
                401,
                "unauthorized",
                str(error),
                headers=[("WWW-Authenticate", "Bearer")],
            ) from None
        request.key_id = key.public_id
        return key


def _check_scope(key: ApiKey, scope: str) -> None:
    if scope != ANY and scope not in key.scopes:
        raise HttpError(
            403,
            "forbidden",
            f"this key may {' and '.join(sorted(key.scopes))}, but not {scope}; "
            f"make one with 'mbuzz keys create --scope {scope}'",
        )


def _rate_headers(allowance: Allowance) -> list[tuple[str, str]]:
    return [
        ("X-RateLimit-Limit", str(allowance.limit)),
        ("X-RateLimit-Remaining", str(allowance.remaining)),
        ("X-RateLimit-Reset", str(allowance.reset_after)),
    ]
