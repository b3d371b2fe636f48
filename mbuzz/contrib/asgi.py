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

from mbuzz import api, guard
from mbuzz.context import serving
from mbuzz.forwarded import Trust
from mbuzz.web.cookies import set_cookies
from mbuzz.web.endpoints import MAX_BODY
from mbuzz.web.exchange import Exchange, in_asyncio
from mbuzz.web.request import MOST_NAMES, NOBODY, Names, WebRequest
from mbuzz.web.response import read_raw_head
from mbuzz.web.site import Site, is_served

_FLUSH_TIMEOUT = 2.0  # seconds that the end of a server may wait

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class MbuzzMiddleware:
    """Tracks page views and gives the code under it the request's context.

    Scope and receive are the application's own; of what it sends, only the start of
    the response is replaced, by a copy with the cookies. Options are those of
    `mbuzz.configure`; what that was given stays where they say nothing else.
    """

    def __init__(self, app: Application, **options: object) -> None:
        if options:
            api.configure_also(options)
        self.app = app
        self._site = Site()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; what is neither HTTP nor a websocket passes through."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, _delivering(send))
            return
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


def _delivering(send: Send) -> Send:
    """Deliver what is queued before the server is told that the site has shut down.

    Not all of them let the process come to its end: uvicorn has itself killed.
    """

    async def send_on(message: Message) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            await _flushed()
        await send(message)

    return send_on


async def _flushed() -> None:
    client = api.current_client()
    with guard.swallowing("asgi shutdown"):
        if client is None:
            return
        if in_asyncio():
            await client.aflush(_FLUSH_TIMEOUT)
        else:  # trio's; nobody else is served any more
            client.flush(_FLUSH_TIMEOUT)


async def _with_cookies(exchange: Exchange, message: Message) -> Message:
    if exchange.passes():
        return message
    headers = list(message.get("headers") or ())
    cookies = await exchange.arespond(message["status"], headers, read=read_raw_head)
    added = _encoded([*set_cookies(cookies), *exchange.marks])
    return {**message, "headers": [*headers, *added]}


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
            "headers": _encoded([*answer.headers, *set_cookies(answer.cookies)]),
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


class _RawNames(dict[str, bytes]):
    """The names of headers as a scope has them."""

    def __missing__(self, name: str) -> bytes:
        key = name.encode("latin-1", "replace")
        if len(self) < MOST_NAMES:
            self[name] = key
        return key


_RAW = _RawNames()
_LISTS = frozenset((b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))


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
        found = guard.attempt(lambda: dict(reversed(self._raw)), self._copied)
        self._headers = found
        return found

    def _copied(self, _: Exception) -> dict[bytes, bytes]:
        raw = [(bytes(name), bytes(value)) for name, value in self._raw]
        return dict(reversed(raw))

    def has_any(self, names: Names) -> bool:  # noqa: D102 - the base says it
        return not (self._headers or self._read()).keys().isdisjoint(names.raw)

    def header(self, name: str) -> str | None:  # noqa: D102
        key = _RAW[name]
        value = (self._headers or self._read()).get(key)
        if value is None:
            return None
        if key in _LISTS:  # each proxy may add a line of its own
            return ", ".join(self._all(key))
        return value.decode("latin-1")

    def _all(self, key: bytes) -> list[str]:
        return [value.decode("latin-1") for name, value in self._raw if name == key]

    @property
    def cookie(self) -> str:  # noqa: D102
        if b"cookie" not in (self._headers or self._read()):
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
