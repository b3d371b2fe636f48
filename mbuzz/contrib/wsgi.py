"""WSGI: `app = MbuzzMiddleware(app)`, for every framework that speaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mbuzz.context import RequestContext, serving
from mbuzz.web.exchange import Site, is_served, status_code
from mbuzz.web.request import from_environ

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class MbuzzMiddleware:
    """Tracks page views and gives the code under it the request's context.

    The application's own exceptions, headers, body and `write()` pass untouched.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._site = Site()

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Serve one request."""
        if is_served(environ):
            return self.app(environ, start_response)
        exchange = self._site.begin(environ, lambda: from_environ(environ))

        def start(
            status: str, headers: Iterable[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            if not isinstance(headers, list):
                headers = list(headers)  # not as PEP 3333 says, but servers bear it
            cookies = exchange.respond(status_code(status), headers)
            if cookies:
                added = [("Set-Cookie", cookie.header()) for cookie in cookies]
                headers = [*headers, *added]
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        with serving(exchange.context):
            body = self.app(environ, start)
        if _is_finished(body, environ):
            return body
        return _Body(body, exchange.context)


def _is_finished(body: Iterable[bytes], environ: Environ) -> bool:
    """Tell whether the body runs no more of the application's code.

    Such a body goes out as it is: servers look at its type to send files fast.
    """
    if isinstance(body, list | tuple) or hasattr(body, "__len__"):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    is_file = isinstance(wrapper, type) and isinstance(body, wrapper)
    return is_file or hasattr(body, "fileno")


class _Body:
    """A body that is produced on the way out, still in its request's context."""

    def __init__(self, body: Iterable[bytes], context: RequestContext) -> None:
        self._body = body
        self._context = context
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with serving(self._context):
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)

    def close(self) -> None:
        body, self._body = self._body, ()  # closed once, however often we are
        close = getattr(body, "close", None)
        if close is not None:
            with serving(self._context):
                close()
