"""Django's middleware, for sync and async stacks alike."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    MutableMapping,
    Sequence,
)
from http.cookies import Morsel, SimpleCookie
from typing import TYPE_CHECKING, Any

from asgiref.sync import (
    iscoroutinefunction,
    markcoroutinefunction,
    sync_to_async,
)
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpResponse, StreamingHttpResponse

from mbuzz import api, guard, protocol
from mbuzz.context import RequestContext, serving
from mbuzz.contrib.django import options, order
from mbuzz.contrib.django.requests import DjangoRequest, logged_in
from mbuzz.contrib.django.site import DjangoSite
from mbuzz.web.cookies import Cookie
from mbuzz.web.endpoints import MAX_BODY, Answer
from mbuzz.web.exchange import Exchange
from mbuzz.web.script import COUNTED
from mbuzz.web.site import is_served

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponseBase

    GetResponse = Callable[
        [HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]
    ]

_END = object()  # of a body
_OURS = (protocol.VISITOR_COOKIE, protocol.SESSION_COOKIE)


class MbuzzMiddleware:
    """Tracks page views and gives views the request's context.

    Options come from the setting ``MBUZZ = {"API_KEY": ...}``, else from the
    environment. It never touches the user, the session or the body.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        """Wrap *get_response*.

        Raises:
            MiddlewareNotUsed: If mbuzz is not configured, so that it costs nothing.
        """
        if not options.apply():
            raise MiddlewareNotUsed("mbuzz: the setting MBUZZ cannot work; see the log")
        client = api.default_client()
        if (client is None or not client.config.enabled) and not options.in_tests():
            raise MiddlewareNotUsed("mbuzz is not configured, or disabled")
        order.warn()
        self.get_response = get_response
        self._site = DjangoSite()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve one request."""
        around = _around(request)
        if is_served(around):
            return self.get_response(request)
        exchange = self._site.begin(DjangoRequest, request, around)
        if exchange is None:
            return self.get_response(request)
        if exchange.endpoint is not None:
            if self._is_async and exchange.blocks:
                answered = sync_to_async(_answer, thread_sensitive=False)
                return answered(exchange, exchange.endpoint, request)
            response = _answer(exchange, exchange.endpoint, request)
            return _soon(response) if self._is_async else response
        if self._is_async:
            return self._serve_async(request, exchange)
        with serving(exchange.context):
            response = self.get_response(request)
        cookies: Sequence[Cookie] = ()
        if not exchange.passes():
            cookies = exchange.respond(
                response.status_code, response.items(), user=lambda: logged_in(request)
            )
        _finish(response, cookies, exchange)
        return response

    async def _serve_async(
        self, request: HttpRequest, exchange: Exchange
    ) -> HttpResponseBase:
        with serving(exchange.context):
            response: HttpResponseBase = await self.get_response(request)
        cookies: Sequence[Cookie] = ()
        if not exchange.passes():
            cookies = await exchange.arespond(
                response.status_code, response.items(), user=lambda: logged_in(request)
            )
        _finish(response, cookies, exchange)
        return response


def _around(request: HttpRequest) -> MutableMapping[str, Any]:
    """Return what a middleware around Django sees of the request, too."""
    around: MutableMapping[str, Any] = getattr(request, "scope", request.META)
    return around


async def _soon(response: HttpResponse) -> HttpResponse:
    return response


def _answer(exchange: Exchange, call: str, request: HttpRequest) -> HttpResponse:
    """Serve one of our own endpoints."""
    endpoints = exchange.site.endpoints
    length = request.META.get("CONTENT_LENGTH") or ""
    whole = hasattr(request, "scope")  # ASGI's body is here, however it was sent
    answer: Answer | None = endpoints.refuse(exchange, None if whole else length)
    if answer is None:
        size = MAX_BODY + 1 if whole else int(length)
        # A browser that goes away in the middle is no error of the site.
        body = guard.attempt(lambda: request.read(size), lambda _: b"")
        answer = endpoints.answer(exchange, call, body)
    response = HttpResponse(answer.body, status=answer.status)
    del response["Content-Type"]
    for name, value in answer.headers:
        response[name] = value
    _fill(response.cookies, answer.cookies)
    exchange.end()
    return response


def _finish(
    response: HttpResponseBase, cookies: Sequence[Cookie], exchange: Exchange
) -> None:
    """Put exactly our *cookies* on the response.

    A view may hand out one response object again and again; what an earlier visitor
    was given must not go to the next.
    """
    if isinstance(response, StreamingHttpResponse):
        _serve_on(response, exchange)
    else:
        exchange.end()
    jar = response.cookies
    if jar:
        for key in [key for key, morsel in jar.items() if morsel.key in _OURS]:
            del jar[key]
    _fill(jar, cookies)
    if exchange.site.options.session_endpoint:
        _mark(response, exchange.marks)


def _fill(jar: SimpleCookie, cookies: Sequence[Cookie]) -> None:
    """Put *cookies* into a response's jar; of one name the last has its place."""
    last = {cookie.name: cookie for cookie in cookies}
    for cookie in cookies:
        morsel: Morsel[str] = Morsel()
        morsel.set(cookie.name, cookie.value, cookie.value)
        morsel["path"] = "/"
        morsel["max-age"] = cookie.max_age
        morsel["httponly"] = True
        morsel["samesite"] = "Lax"
        if cookie.secure:
            morsel["secure"] = True
        if cookie.domain:
            morsel["domain"] = cookie.domain
        is_twin = cookie is not last[cookie.name]  # of the host alone
        jar[f"{cookie.name} of the host" if is_twin else cookie.name] = morsel


def _mark(response: HttpResponseBase, marks: Sequence[tuple[str, str]]) -> None:
    """Say whether the page is counted, whatever the object said the last time."""
    name, mark = COUNTED
    given = response.get(name, "")
    others = [
        part for part in map(str.strip, given.split(",")) if part not in ("", mark)
    ]
    said = ", ".join([*others, *(value for _, value in marks)])
    if said:
        response[name] = said
    elif given:
        del response[name]


def _serve_on(response: StreamingHttpResponse, exchange: Exchange) -> None:
    """Produce and close the body in the context, which is after we have returned.

    Each step enters and leaves it: the body may be read by another thread or task, or
    by nobody, and then the context would stay behind.
    """
    context = exchange.context
    steps: Callable[..., Any] = _asteps if response.is_async else _steps
    response._iterator = steps(response._iterator, context)
    closers = response._resource_closers
    closers[:] = [_within(context, close) for close in closers]
    closers.append(exchange.end)


def _steps(body: Iterator[Any], context: RequestContext) -> Iterator[Any]:
    while True:
        with serving(context):
            part = next(body, _END)
        if part is _END:
            return
        yield part


async def _asteps(
    body: AsyncIterator[Any], context: RequestContext
) -> AsyncIterator[Any]:
    while True:
        with serving(context):
            part = await anext(body, _END)
        if part is _END:
            return
        yield part


def _within(
    context: RequestContext, close: Callable[[], object]
) -> Callable[[], object]:
    def closing() -> None:
        with serving(context):
            close()

    return closing
