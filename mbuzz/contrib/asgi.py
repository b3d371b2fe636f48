"""ASGI: `app.add_middleware(MbuzzMiddleware)` for Starlette, FastAPI and their kin."""

from __future__ import annotations

import asyncio
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
    Sequence,
)
from typing import Any

from mbuzz import guard
from mbuzz.context import serving
from mbuzz.web.endpoints import MAX_BODY
from mbuzz.web.exchange import Exchange
from mbuzz.web.forwarded import Trust
from mbuzz.web.request import NOBODY, Names, WebRequest
from mbuzz.web.response import read_raw_head
from mbuzz.web.site import Site, is_served

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
        """Serve one request; what is neither HTTP nor a websocket passes through."""
        kind = scope["type"]
        if kind not in ("http", "websocket") or is_served(scope):
            await self.app(scope, receive, send)
            return
        exchange = self._site.begin(ScopeRequest, scope, scope)
        if exchange is None:
            await self.app(scope, receive, send)
            return
        if kind == "websocket":
            exchange.context.can_answer = False
            with serving(exchange.context):
                await self.app(scope, receive, send)
            return
        if exchange.endpoint is not None:
            await _answer(exchange, exchange.endpoint, receive, send)
            return

        async def send_with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = await _with_cookies(exchange, message)
            await send(message)

        with serving(exchange.context):
            await self.app(scope, receive, send_with_cookies)


async def _with_cookies(exchange: Exchange, message: Message) -> Message:
    if exchange.passes():
        return message
    headers = list(message.get("headers") or ())
    cookies = await exchange.arespond(message["status"], headers, read=read_raw_head)
    added = [("set-cookie", cookie.header()) for cookie in cookies]
    added.extend(exchange.marks)
    return {**message, "headers": [*headers, *_encoded(added)]}


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


async def _answer(exchange: Exchange, call: str, receive: Receive, send: Send) -> None:
    """Serve one of our own endpoints."""
    endpoints = exchange.site.endpoints
    answer = endpoints.refuse(exchange, exchange.request.header("content-length"))
    if answer is None:
        body = b""
        more = True
        while more and len(body) <= MAX_BODY:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if exchange.blocks:
            answer = await asyncio.to_thread(endpoints.answer, exchange, call, body)
        else:
            answer = endpoints.answer(exchange, call, body)
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": _encoded(answer.headers),
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


class _RawNames(dict[str, bytes]):
    """The names of headers as a scope has them."""

    def __missing__(self, name: str) -> bytes:
        return name.encode("latin-1", "replace")


_LISTS = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
_RAW = _RawNames(
    (name, name.encode())
    for name in (
        "accept content-length dnt host origin referer sec-fetch-dest sec-fetch-mode "
        "sec-fetch-site sec-gpc traceparent user-agent x-forwarded-for "
        "x-forwarded-host x-forwarded-proto x-request-id"
    ).split()
)


class ScopeRequest(WebRequest):
    """The request of an ASGI scope, read before the application may change it."""

    __slots__ = ("_headers", "_parts", "_raw")

    def __init__(self, scope: Scope, trust: Trust = NOBODY) -> None:
        self.trust = trust
        # Quart's test client gives websockets one, which makes them no page.
        is_http = scope.get("type") != "websocket"
        self.method = (scope.get("method") or "") if is_http else ""
        self.path = _full_path(scope)
        self._raw: Sequence[tuple[bytes, bytes]] = scope.get("headers") or ()
        self._headers: dict[bytes, bytes] | None = None
        self._parts = (
            scope.get("scheme") or "http",
            scope.get("server"),
            scope.get("client"),
            scope.get("query_string") or b"",
        )

    def _read(self) -> dict[bytes, bytes]:
        """Return the headers by name; of doubles the first."""
        found = self._headers
        if found is None:
            found = guard.attempt(lambda: dict(reversed(self._raw)), self._copied)
            self._headers = found
        return found

    def _copied(self, _: Exception) -> dict[bytes, bytes]:
        raw = [(bytes(name), bytes(value)) for name, value in self._raw]
        return dict(reversed(raw))

    def has_any(self, names: Names) -> bool:  # noqa: D102 - the base says it
        return not self._read().keys().isdisjoint(names.raw)

    def header(self, name: str) -> str | None:  # noqa: D102
        key = _RAW[name]
        value = self._read().get(key)
        if value is None:
            return None
        if key in _LISTS:  # each proxy may add a line of its own
            return ", ".join(self._all(key))
        return value.decode("latin-1")

    def _all(self, key: bytes) -> list[str]:
        return [value.decode("latin-1") for name, value in self._raw if name == key]

    @property
    def cookie(self) -> str:  # noqa: D102
        if b"cookie" not in self._read():
            return ""
        return "; ".join(self._all(b"cookie"))  # HTTP/2 clients split them

    @property
    def query(self) -> str:  # noqa: D102
        return bytes(self._parts[3]).decode("utf-8", "replace")

    @property
    def _scheme(self) -> str:
        scheme = str(self._parts[0])
        return {"ws": "http", "wss": "https"}.get(scheme, scheme)

    @property
    def _host(self) -> str:
        server = self._parts[1]
        return self.header("host") or (str(server[0]) if server else "")

    @property
    def _peer(self) -> str | None:
        client = self._parts[2]
        return str(client[0]) if client else None


def _full_path(scope: Scope) -> str:
    """Return the path with its mount point, which older servers leave out."""
    path, root = str(scope["path"]), str(scope.get("root_path") or "").rstrip("/")
    if not root or f"{path}/".startswith(f"{root}/"):
        return path
    return root + path
