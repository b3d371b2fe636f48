"""The same small application for each adapter: bare, with an empty layer, and tracked.

An application is called as its server calls it, in the process that measures, so that
no socket stands between the clock and the middleware.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.web_requests import API, ASSET

PAGE = b"<!doctype html><title>Shop</title>" + b"<p>Everything for the trail.</p>" * 50
_BODIES = {
    ASSET: ("text/javascript", b"console.log(1);" * 20),
    API: ("application/json", b'{"items": [1, 2, 3]}'),
}
_HTML = ("text/html; charset=utf-8", PAGE)
BARE, EMPTY, OURS = LAYERS = ("bare", "empty", "mbuzz")
Headers = list[tuple[str, str]]


def _said(path: str) -> tuple[str, bytes]:
    return _BODIES.get(path, _HTML)


# -- WSGI --


def wsgi(layer: str, view: float = 0.0) -> Any:
    """Return a plain WSGI application whose views take *view* seconds."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if view:
            time.sleep(view)
        kind, body = _said(environ["PATH_INFO"])
        start_response(
            "200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))]
        )
        return [body]

    if layer == OURS:
        from mbuzz.contrib.wsgi import MbuzzMiddleware

        return MbuzzMiddleware(app)
    return _EmptyWsgi(app) if layer == EMPTY else app


class _EmptyWsgi:
    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            return start_response(status, headers)

        return self.app(environ, start)


def flask(layer: str, view: float = 0.0) -> Any:
    """Return a Flask application."""
    from flask import Flask, Response, request

    app = Flask("shop", static_folder=None)

    def page(number: int = 0) -> Response:
        if view:
            time.sleep(view)
        kind, body = _said(request.path)
        return Response(body, content_type=kind)

    app.add_url_rule("/products/<int:number>", "product", page)
    app.add_url_rule(ASSET, "asset", page)
    app.add_url_rule(API, "cart", page)
    if layer == OURS:
        from mbuzz.contrib.flask import Mbuzz

        Mbuzz(app)
    elif layer == EMPTY:
        app.wsgi_app = _EmptyWsgi(app.wsgi_app)
    return app


# -- ASGI --


def asgi(layer: str, view: float = 0.0) -> Any:
    """Return a plain ASGI application whose views take *view* seconds."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if view:
            await asyncio.sleep(view)
        kind, body = _said(scope["path"])
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    if layer == OURS:
        from mbuzz.contrib.asgi import MbuzzMiddleware

        return MbuzzMiddleware(app)
    return _EmptyAsgi(app) if layer == EMPTY else app


class _EmptyAsgi:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def pass_on(message: Any) -> None:
            await send(message)

        await self.app(scope, receive, pass_on)


def starlette(layer: str, view: float = 0.0) -> Any:
    """Return a Starlette application."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import Response
    from starlette.routing import Route

    from mbuzz.contrib.asgi import MbuzzMiddleware

    async def page(request: Any) -> Response:
        if view:
            await asyncio.sleep(view)
        kind, body = _said(request.url.path)
        return Response(body, media_type=kind)

    layers = {BARE: [], EMPTY: [_EmptyAsgi], OURS: [MbuzzMiddleware]}[layer]
    return Starlette(
        routes=[Route(path, page) for path in ("/products/{number:int}", ASSET, API)],
        middleware=[Middleware(one) for one in layers],
    )


# -- Django --


class EmptyDjango:
    """A Django middleware that only calls on, in either kind of stack."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        from asgiref.sync import iscoroutinefunction, markcoroutinefunction

        self._get_response = get_response
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Return the response, or what will be it."""
        return self._later(request) if self._async else self._get_response(request)

    async def _later(self, request: Any) -> Any:
        return await self._get_response(request)


def _django(layer: str, page: Any, make: Callable[[], Any]) -> Any:
    import django
    from django.conf import settings
    from django.test import override_settings
    from django.urls import path

    if not settings.configured:
        settings.configure(SECRET_KEY="k", ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
        django.setup()
        settings.ROOT_URLCONF = (
            path("products/<int:number>", page),
            path(ASSET[1:], page),
            path(API[1:], page),
        )
    used = {
        BARE: [],
        EMPTY: ["tests.benchmarks.web_apps.EmptyDjango"],
        OURS: ["mbuzz.contrib.django.MbuzzMiddleware"],
    }[layer]
    with override_settings(MIDDLEWARE=used):
        return make()


def django_sync(layer: str, view: float = 0.0) -> Any:
    """Return a Django application over WSGI; one *view* time in a process."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse

    def page(request: Any, number: int = 0) -> HttpResponse:
        if view:
            time.sleep(view)
        kind, body = _said(request.path)
        return HttpResponse(body, content_type=kind)

    return _django(layer, page, WSGIHandler)


def django_async(layer: str, view: float = 0.0) -> Any:
    """Return Django's async chain over ASGI; one *view* time in a process.

    Its own handler around the chain is left out: that starts tasks and threads, whose
    cost differs by more from request to request than any middleware costs.
    """
    from django.core.handlers.asgi import ASGIHandler, ASGIRequest
    from django.http import HttpResponse

    async def page(request: Any, number: int = 0) -> HttpResponse:
        if view:
            await asyncio.sleep(view)
        kind, body = _said(request.path)
        return HttpResponse(body, content_type=kind)

    handler = _django(layer, page, ASGIHandler)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = ASGIRequest(scope, io.BytesIO())
        response = await handler.get_response_async(request)
        headers = [(k.lower().encode(), v.encode()) for k, v in response.items()]
        headers += [
            (b"set-cookie", cookie.output(header="").strip().encode())
            for cookie in response.cookies.values()
        ]
        await send({"type": "http.response.start", "headers": headers})
        response.close()

    return app


SYNC: dict[str, Callable[..., Any]] = {
    "wsgi": wsgi,
    "flask": flask,
    "django": django_sync,
}
ASYNC: dict[str, Callable[..., Any]] = {
    "asgi": asgi,
    "starlette": starlette,
    "django async": django_async,
}


# -- calling them --


def serve(app: Any, environ: dict[str, object]) -> Headers:
    """Serve one request of a WSGI server's and return the headers."""
    said: list[Headers] = []

    def start(status: str, headers: Headers, exc_info: Any = None) -> None:
        said.append(headers)

    body = app(dict(environ), start)
    for _ in body:
        pass
    close = getattr(body, "close", None)
    if close is not None:
        close()
    return said[-1]


async def aserve(app: Any, scope: dict[str, object]) -> Headers:
    """Serve one request of an ASGI server's and return the headers."""
    sent: list[dict[str, Any]] = []
    asked = False

    async def receive() -> dict[str, object]:
        nonlocal asked
        if asked:  # the browser stays
            await asyncio.get_running_loop().create_future()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(dict(scope), receive, send)
    return sent[0]["headers"]


def session_given(headers: Any) -> str | None:
    """Return the session id that *headers* set, WSGI's or ASGI's."""
    for name, value in headers:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        text = text.strip()  # Django's begin with a space
        if text.startswith("_mbuzz_sid=") and name in ("Set-Cookie", b"set-cookie"):
            return text.partition("=")[2].partition(";")[0]
    return None
