"""WSGI: `app = MbuzzMiddleware(app)`, for every framework that speaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from mbuzz import api, guard
from mbuzz.context import enter, leave, serving
from mbuzz.web.cookies import set_cookies
from mbuzz.web.endpoints import MAX_BODY
from mbuzz.web.exchange import Exchange
from mbuzz.web.request import EnvironRequest
from mbuzz.web.site import Site, is_served

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class MbuzzMiddleware:
    """Tracks page views and gives the code under it the request's context.

    The application's own exceptions, headers, body and `write()` pass untouched. *user*
    is asked, when a page is counted, who is logged in. Options are those of
    `mbuzz.configure`; what that was given stays where they say nothing else.
    """

    def __init__(
        self,
        app: Application,
        *,
        user: Callable[[], object] | None = None,
        **options: object,
    ) -> None:
        if options:
            api.configure_also(options)
        self.app = app
        self._user = user
        self._site = Site()

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        if is_served(environ):
            return self.app(environ, start_response)
        exchange = self._site.begin(EnvironRequest, environ, environ)
        if exchange is None:
            return self.app(environ, start_response)
        if exchange.endpoint is not None:
            return _answer(exchange, exchange.endpoint, environ, start_response)
        user = self._user

        def start(
            status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            if not isinstance(headers, list):
                headers = list(headers)  # not as PEP 3333 says, but servers bear it
            if not exchange.passes():
                cookies = exchange.respond(status, headers, user=user)
                headers = [*headers, *set_cookies(cookies), *exchange.marks]
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        body: Iterable[bytes] | None = None
        token = enter(exchange.context)
        try:
            body = self.app(environ, start)
        finally:
            leave(token)
            if body is None:
                exchange.end()
        if _is_finished(body, environ):
            exchange.end()
            return body
        return _Body(body, exchange)


def _answer(
    exchange: Exchange, call: str, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """Serve one of our own endpoints."""
    endpoints = exchange.site.endpoints
    length = environ.get("CONTENT_LENGTH") or ""
    answer = endpoints.refuse(exchange, length)
    if answer is None:
        size = min(int(length), MAX_BODY)
        # A browser that goes away in the middle is no error of the site.
        body = guard.attempt(lambda: environ["wsgi.input"].read(size), lambda _: b"")
        answer = endpoints.answer(exchange, call, body)
    status = HTTPStatus(answer.status)
    headers = [*answer.headers, *set_cookies(answer.cookies)]
    start_response(f"{status.value} {status.phrase}", headers)
    exchange.end()
    return [answer.body] if answer.body else []


def _is_finished(body: Iterable[bytes], environ: Environ) -> bool:
    """Tell whether the body runs no more of the application's code.

    Such a body goes out as it is: servers look at its type to send files fast.
    """
    if isinstance(body, list | tuple) or hasattr(body, "__len__"):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    is_file = isinstance(wrapper, type) and isinstance(body, wrapper)
    # uWSGI's wrapper is a function that returns the file itself.
    return is_file or hasattr(body, "fileno") or hasattr(body, "read")


class _Body:
    """A body that is produced on the way out, still in its request's context."""

    def __init__(self, body: Iterable[bytes], exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange
        self._context = exchange.context
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = enter(self._context)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        finally:
            leave(token)

    def close(self) -> None:
        body, self._body = self._body, ()  # closed once, however often we are
        close = getattr(body, "close", None)
        if close is not None:
            with serving(self._context):
                close()
        self._exchange.end()
