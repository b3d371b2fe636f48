"""ASGI: `app.add_middleware(MbuzzMiddleware)` for Starlette, FastAPI and their kin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mbuzz.context import serving
from mbuzz.web.exchange import Exchange, Site, is_served, plain
from mbuzz.web.request import WebRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class MbuzzMiddleware:
    """Tracks page views and gives the code under it the request's context.

    Scope and receive are the application's own; of what it sends, only the start of
    the response is replaced, by a copy with the cookies.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._site = Site()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; what is no HTTP passes through."""
        if scope["type"] != "http" or is_served(scope):
            await self.app(scope, receive, send)
            return
        exchange = self._site.begin(scope, lambda: from_scope(scope))

        async def send_with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = await _with_cookies(exchange, message)
            await send(message)

        with serving(exchange.context):
            await self.app(scope, receive, send_with_cookies)


async def _with_cookies(exchange: Exchange, message: Message) -> Message:
    headers = list(message.get("headers") or ())
    cookies = await exchange.arespond(message["status"], plain(headers))
    added = [(b"set-cookie", cookie.header().encode("latin-1")) for cookie in cookies]
    return {**message, "headers": [*headers, *added]}


def from_scope(scope: Scope) -> WebRequest:
    """Return the request of an ASGI scope, read before the app may change it."""
    headers: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in scope.get("headers") or ():
        name = bytes(raw_name).decode("latin-1").lower()
        value = bytes(raw_value).decode("latin-1")
        if name == "cookie":
            cookies.append(value)  # HTTP/2 clients split them
        else:
            headers.setdefault(name, value)
    host = headers.get("host", "")
    if not host and scope.get("server"):
        host = str(scope["server"][0])
    query = bytes(scope.get("query_string") or b"")
    return WebRequest(
        method=scope["method"],
        scheme=scope.get("scheme") or "http",
        host=host,
        path=_full_path(scope),
        query=query.decode("utf-8", "replace"),
        cookie="; ".join(cookies),
        header=headers.get,
    )


def _full_path(scope: Scope) -> str:
    """Return the path with its mount point, which older servers leave out."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "").rstrip("/")
    return path if f"{path}/".startswith(f"{root}/") else root + path
