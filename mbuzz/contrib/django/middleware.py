"""Django's middleware, for sync and async stacks alike."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed

from mbuzz import api, guard, protocol
from mbuzz.context import serving
from mbuzz.web.cookies import Cookie
from mbuzz.web.exchange import Exchange, Site, is_served
from mbuzz.web.request import WebRequest, from_environ

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    GetResponse = Callable[
        [HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]
    ]

_logger = logging.getLogger("mbuzz.contrib")
_OURS = (protocol.VISITOR_COOKIE, protocol.SESSION_COOKIE)


class MbuzzMiddleware:
    """Tracks page views and gives views the request's context.

    Options come from the setting ``MBUZZ = {"API_KEY": ...}``, else from the
    environment. It never touches the user, the session or the body.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        _configure(getattr(settings, "MBUZZ", None))
        self.get_response = get_response
        self._site = Site()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        if is_served(_around(request)):
            return self.get_response(request)
        if self._is_async:
            return self._serve_async(request)
        exchange = self._begin(request)
        with serving(exchange.context):
            response = self.get_response(request)
        cookies = exchange.respond(response.status_code, list(response.items()))
        _set(response, cookies)
        return response

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        exchange = self._begin(request)
        with serving(exchange.context):
            response: HttpResponseBase = await self.get_response(request)
        cookies = await exchange.arespond(response.status_code, list(response.items()))
        _set(response, cookies)
        return response

    def _begin(self, request: HttpRequest) -> Exchange:
        return self._site.begin(_around(request), lambda: _read(request))


def _around(request: HttpRequest) -> MutableMapping[str, Any]:
    """Return what a middleware around Django sees of the request, too."""
    around: MutableMapping[str, Any] = getattr(request, "scope", request.META)
    return around


def _read(request: HttpRequest) -> WebRequest:
    """Return the request; one for a host that Django refuses is not tracked."""
    plain = from_environ(request.META)
    host = guard.attempt(request.get_host, lambda _: "")
    return WebRequest(
        method=request.method or "",
        scheme=request.scheme or "http",
        host=host,
        path=request.path,
        query=plain.query,
        cookie=plain.cookie,
        header=plain.header,
    )


def _set(response: HttpResponseBase, cookies: list[Cookie]) -> None:
    """Put exactly our *cookies* on the response.

    A view may hand out one response object again and again; what an earlier visitor
    was given must not go to the next.
    """
    for name in _OURS:
        response.cookies.pop(name, None)
    for cookie in cookies:
        response.set_cookie(
            cookie.name,
            cookie.value,
            max_age=cookie.max_age,
            domain=cookie.domain,
            secure=cookie.secure,
            httponly=True,
            samesite="Lax",
        )


def _configure(options: object) -> None:
    """Set up the default client from Django's settings.

    Raises:
        MiddlewareNotUsed: If mbuzz is not configured, so that it costs nothing.
    """
    if options is not None and not isinstance(options, Mapping):
        _logger.error(
            "not configured, nothing will be tracked: the setting MBUZZ must be a dict "
            'such as {"API_KEY": ...}, got %s',
            type(options).__name__,
        )
        raise MiddlewareNotUsed("mbuzz: the setting MBUZZ must be a dict; see the log")
    given = {
        str(name).lower(): value
        for name, value in (options or {}).items()
        if value is not None and value != ""
    }
    client = api.current_client()
    if given and client is not None:  # a test's, or the project's own
        given.setdefault("api_key", client.config.api_key or None)
    if given and not api.configure(**given):
        raise MiddlewareNotUsed("mbuzz: the setting MBUZZ cannot work; see the log")
    client = api.default_client()
    if client is None or not client.config.enabled:
        raise MiddlewareNotUsed("mbuzz is not configured, or disabled")
