"""One request and its response: the context, the page view and the cookies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from mbuzz import api, guard, ids, protocol
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.context import RequestContext, current
from mbuzz.web.cookies import Cookie, read_cookie, read_set_cookies
from mbuzz.web.pacing import Pacing
from mbuzz.web.pageview import (
    Headers,
    Kind,
    classify,
    has_marketing,
    is_page,
    may_carry_cookies,
)
from mbuzz.web.request import WebRequest

if TYPE_CHECKING:
    from mbuzz.client import Client
    from mbuzz.delivery.queue import Answer

_MARK = "mbuzz.context"


def is_served(around: Mapping[str, Any]) -> bool:
    """Tell whether a middleware further out tracks this very request already.

    *around* is what both see of it: the WSGI environ or the ASGI scope.
    """
    context = current()
    return context is not None and around.get(_MARK) is context


class Site:
    """The web application being tracked; one for each middleware."""

    def __init__(self) -> None:
        self._pacing = Pacing(SYSTEM_CLOCK)

    def begin(
        self, around: MutableMapping[str, Any], read: Callable[[], WebRequest]
    ) -> Exchange:
        """Read the request and, where it begins a session, tell the backend.

        *around* is marked for `is_served`. Never raises; what cannot be read is served
        without being tracked.
        """
        return guard.attempt(lambda: self._begin(around, read), _untracked)

    def _begin(
        self, around: MutableMapping[str, Any], read: Callable[[], WebRequest]
    ) -> Exchange:
        exchange = Exchange(api.default_client(), read(), self._pacing)
        exchange.open()
        around[_MARK] = exchange.context
        return exchange


def _untracked(error: Exception) -> Exchange:
    guard.report("web request", error)
    return Exchange(None, None, Pacing(SYSTEM_CLOCK))


class Exchange:
    """What is known of one request; nothing of it is kept on the middleware."""

    def __init__(
        self, client: Client | None, request: WebRequest | None, pacing: Pacing
    ) -> None:
        tracked = client is not None and client.config.enabled and request is not None
        self._client = client if tracked else None
        self._request = request
        self._pacing = pacing
        self._kind = Kind.NONE
        self._new_visitor = False
        self._new_session = False
        self._recorded = False
        self._reply: Future[Answer] | None = None
        self._asked_at = 0.0
        self.context = RequestContext()

    # -- the request --

    def open(self) -> None:
        """Fill the context, and record the page view of a new session at once."""
        client, request = self._client, self._request
        if client is None or request is None:
            return
        context = self.context
        now_ms = client.clock.now_ms()
        context.started_at_ms = now_ms
        context.url = request.url
        context.referrer = request.referrer
        context.user_agent = request.user_agent
        context.request_id = request.request_id or ids.time_ordered("req", now_ms)
        context.traceparent = request.traceparent
        visitor = read_cookie(request.cookie, protocol.VISITOR_COOKIE)
        session = read_cookie(request.cookie, protocol.SESSION_COOKIE)
        self._new_visitor = visitor is None
        context.visitor_id = visitor or ids.visitor_id()
        if context.url is not None:
            self._kind = classify(request, client.config.skip_paths)
        # A session without its visitor is a leftover and would join strangers.
        self._new_session = session is None or visitor is None
        if self._new_session and self._kind.counts:
            context.session_id = ids.session_id()
        elif not self._new_session:
            context.session_id = session
        if self._new_session and self._kind is Kind.STRONG:
            self._record(ask=client.config.handshake and self._pacing.may_ask())

    def _record(self, *, ask: bool = False) -> None:
        """Record the page view, once; *ask* for the backend's cookies if possible."""
        client = self._client
        if self._recorded or client is None:
            return
        self._recorded = True
        reply: Future[Answer] | None = None
        if ask and client.delivery.reachable:
            reply = Future()
            self._asked_at = SYSTEM_CLOCK.monotonic()
            reply.add_done_callback(self._answered)
        result = client.track(
            protocol.PAGE_VIEW,
            timestamp=self.context.started_at_ms,
            context=self.context,
            express=reply,
        )
        self._reply = reply if result.success else None  # or it never comes

    def _answered(self, reply: Future[Answer]) -> None:
        if reply.result().delivered:
            self._pacing.answered(SYSTEM_CLOCK.monotonic() - self._asked_at)

    # -- the response --

    def respond(self, status: int, headers: Headers) -> list[Cookie]:
        """Return the cookies for the response; may wait a few milliseconds for them.

        May be called again for a response that replaces the first. Never raises.
        """
        return guard.attempt(lambda: self._respond(status, headers), _no_cookies)

    def _respond(self, status: int, headers: Headers) -> list[Cookie]:
        pause = self._pause(status, headers)
        if pause and self._reply is not None:
            answered = False
            try:
                answered = bool(wait([self._reply], pause).done)
            finally:
                self._pacing.end_wait(answered=answered)
        return self._finish(status, headers)

    async def arespond(self, status: int, headers: Headers) -> list[Cookie]:
        """Do `respond` without blocking the event loop."""
        pause = guard.attempt(lambda: self._pause(status, headers), lambda _: 0.0)
        if pause and self._reply is not None:
            answered = False
            try:
                answered = await _settled(self._reply, pause)
            finally:
                self._pacing.end_wait(answered=answered)
        return guard.attempt(lambda: self._finish(status, headers), _no_cookies)

    def _pause(self, status: int, headers: Headers) -> float:
        """Return for how long the backend's answer is worth waiting for."""
        if self._client is None or self._reply is None or self._reply.done():
            return 0.0
        if not is_page(self._kind, status, headers, landing=True):
            return 0.0
        if not may_carry_cookies("GET", status, headers):
            return 0.0
        elapsed = SYSTEM_CLOCK.monotonic() - self._asked_at
        return self._pacing.begin_wait(elapsed, self._client.config.handshake_wait)

    def _finish(self, status: int, headers: Headers) -> list[Cookie]:
        client, request = self._client, self._request
        if client is None or request is None:
            return []
        landing = self._new_session or has_marketing(request.query)
        page = self._kind.counts and is_page(
            self._kind, status, headers, landing=landing
        )
        carries = may_carry_cookies(request.method, status, headers)
        # Without a cookie each view of a public page would be a visitor of its own.
        if page and (carries or not self._new_visitor):
            self._record()
        if not carries:
            return []
        return self._cookies(client, request, page=page or self._recorded)

    def _cookies(
        self, client: Client, request: WebRequest, *, page: bool
    ) -> list[Cookie]:
        context = self.context
        told = self._told()
        values: dict[str, tuple[str | None, int]] = {}
        if (page and self._new_session) or (self._new_visitor and context.visitor_used):
            values[protocol.VISITOR_COOKIE] = (
                context.visitor_id,
                protocol.VISITOR_COOKIE_MAX_AGE,
            )
        if page:
            values[protocol.SESSION_COOKIE] = (
                context.session_id,
                protocol.SESSION_COOKIE_MAX_AGE,
            )
        secure = client.config.cookie_secure
        domain = _domain(client.config.cookie_domain, request.host)
        cookies = []
        for name, (proposed, usual_age) in values.items():
            value, age = told.get(name, (proposed, usual_age))
            if value is not None:
                cookies.append(
                    Cookie(
                        name=name,
                        value=value,
                        max_age=usual_age if age is None else age,
                        secure=request.secure if secure == "auto" else secure,
                        domain=domain,
                    )
                )
        return cookies

    def _told(self) -> dict[str, tuple[str, int | None]]:
        """Return what the backend set, if its answer is here."""
        reply = self._reply
        if reply is None or not reply.done() or not reply.result().delivered:
            return {}
        return read_set_cookies(reply.result().cookies)


def _no_cookies(error: Exception) -> list[Cookie]:
    guard.report("web response", error)
    return []


async def _settled(reply: Future[Answer], seconds: float) -> bool:
    """Wait for *reply* without blocking the loop; only asyncio's is waited in."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return reply.done()
    done, _ = await asyncio.wait({asyncio.wrap_future(reply)}, timeout=seconds)
    return bool(done)


def _domain(wanted: str | None, host: str | None) -> str | None:
    """Return the domain for a cookie; None where the browser would refuse it."""
    name = (host or "").partition(":")[0]
    fits = wanted is not None and f".{name}".endswith(f".{wanted.lstrip('.').lower()}")
    return wanted if fits else None


def status_code(status: str) -> int:
    """Return the number of a WSGI status line; 0 if there is none."""
    digits = str(status)[:3]
    return int(digits) if digits.isdecimal() else 0


def plain(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return ASGI headers as text; none if they are not what ASGI says."""
    return guard.attempt(lambda: _decoded(headers), lambda _: [])


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [
        (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
        for name, value in headers
    ]
