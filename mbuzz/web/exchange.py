"""One request and its response: the context, the page view and the cookies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

from mbuzz import guard, protocol
from mbuzz.clock import SYSTEM_CLOCK
from mbuzz.context import DENIED, GRANTED
from mbuzz.forwarded import truncate
from mbuzz.web.cookies import Cookie, read_set_cookies
from mbuzz.web.pageview import HTML, Kind, is_prefetch, status_marks
from mbuzz.web.request import WebRequest
from mbuzz.web.response import Head, read_head
from mbuzz.web.script import COUNTED
from mbuzz.web.visit import Visit

if TYPE_CHECKING:
    from mbuzz.client import Client
    from mbuzz.delivery.queue import Answer
    from mbuzz.web.site import Site

    ReadHead = Callable[[int, Iterable[Any]], Head]

_VISITOR, _SESSION = protocol.VISITOR_COOKIE, protocol.SESSION_COOKIE
_AGES = {
    _VISITOR: protocol.VISITOR_COOKIE_MAX_AGE,
    _SESSION: protocol.SESSION_COOKIE_MAX_AGE,
}
_Values = Mapping[str, tuple[str, int | None]]  # of cookies: value and Max-Age, if said
_GONE: _Values = {_VISITOR: ("", 0), _SESSION: ("", 0)}
_UNTOLD: _Values = {}
_NONE: tuple[Cookie, ...] = ()


class Exchange:
    """What is known of one request; nothing of it is kept on the middleware."""

    __slots__ = (
        "_asked_at",
        "_dealt_with",
        "_kind",
        "_proposed",
        "_recorded",
        "_recorded_for",
        "_reply",
        "_responded",
        "client",
        "context",
        "endpoint",
        "request",
        "site",
    )

    def __init__(self, site: Site, client: Client, request: WebRequest) -> None:
        self.site = site
        self.client = client
        self.request = request
        self.endpoint = site.endpoints.find(request)  # of ours; None for the site's own
        self.context = context = Visit(request, site, client.clock.now_ms())
        self._recorded = self._responded = self._dealt_with = False
        self._recorded_for: str | None = None
        self._proposed = ("", "")
        self._reply: Future[Answer] | None = None
        self._asked_at = 0.0
        self._kind = site.rules.classify(request)
        if self._kind is not None:
            context.is_page = True
            if context.url is None:  # not for a host of ours
                context.is_page = False
                self._kind = None
            elif self._kind is Kind.STRONG and context.new_session:
                self._announce()

    @property
    def marks(self) -> Sequence[tuple[str, str]]:
        """Return what tells the page's script that the server has dealt with it."""
        return (COUNTED,) if self._dealt_with else ()

    @property
    def blocks(self) -> bool:
        """Tell whether to record waits for the backend, in a loop that must not."""
        return self.client.config.delivery == "sync" and in_asyncio()

    # -- the request --

    def _announce(self) -> None:
        """Tell the backend of a new session while the page is being made.

        Its answer may then be here when the page is, and its cookies go with it. Not
        where pages may come from a cache: some are counted by their script.
        """
        client, site = self.client, self.site
        if (
            client.config.handshake
            and client.config.delivery == "background"  # else it would wait here
            and not site.options.session_endpoint
            and site.options.track_redirects is not False  # it may become one
            and site.welcomes(self.request.path)
            and client.delivery.reachable
            and site.pacing.may_ask()
        ):
            reply: Future[Answer] = Future()
            self._asked_at = SYSTEM_CLOCK.monotonic()
            context = self.context
            self._proposed = (context.visitor_id or "", context.session_id or "")
            reply.add_done_callback(self._answered)
            if self.record(express=reply):
                self._reply = reply  # otherwise it never comes

    def record(self, status: int = 200, *, express: Any = None) -> bool:
        """Record the page view; return whether it was taken."""
        self._recorded = True
        self._recorded_for = self.context.visitor_id
        properties: dict[str, object] | None = None
        options = self.site.options
        if status != 200 or options.track_bots or options.track_prefetches:
            properties = {
                **self.site.rules.marks(self.request),
                **status_marks(status),
            }
        if options.send_ip:
            ip = truncate(self.request.client_ip or "")
            properties = {**(properties or {}), **({"ip": ip} if ip else {})}
        return self.client.track(
            protocol.PAGE_VIEW,
            properties=properties,
            timestamp=self.context.started_at_ms,
            context=self.context,
            express=express,
        ).success

    def _answered(self, reply: Future[Answer]) -> None:
        with guard.swallowing("answer to a page view"):
            if not reply.result().delivered:
                return
            self.site.pacing.answered(SYSTEM_CLOCK.monotonic() - self._asked_at)
            if self._responded:
                self._keep_for_later(reply.result())

    def _keep_for_later(self, answer: Answer) -> None:
        said = self._said(read_set_cookies(answer.cookies))
        if said != self._proposed:
            self.site.late.keep(*self._proposed, said)

    def _said(self, told: _Values) -> tuple[str, str]:
        """Return visitor and session: as proposed, where nothing else is told."""
        visitor, session = self._proposed
        return (
            told.get(_VISITOR, (visitor, None))[0],
            told.get(_SESSION, (session, None))[0],
        )

    # -- the response --

    def respond(
        self,
        status: str | int,
        headers: Iterable[Any],
        *,
        user: Callable[[], object] | None = None,
    ) -> Sequence[Cookie]:
        """Return the cookies for the response; may wait a few milliseconds for them.

        It is for a response of which `passes` does not say that it goes out as it is.
        *user* finds out who is logged in, without asking the site's database. May be
        called again for a response that replaces the first. Never raises.
        """
        return guard.attempt(
            lambda: self._respond(read_head(status, headers), user), _no_cookies
        )

    def passes(self) -> bool:
        """Tell whether the response goes out as it is, as most do.

        The browser can be told nothing any more then.
        """
        context = self.context
        if self._kind is not None or context.visitor_used or context.is_reset:
            return False
        if self.site.options.session_endpoint:
            return False  # its script must know
        self._close(carries=False)
        return True

    def _respond(
        self, head: Head, user: Callable[[], object] | None
    ) -> Sequence[Cookie]:
        pause = self._pause(head)
        if pause and self._reply is not None:
            answered = False
            try:
                answered = bool(wait([self._reply], pause).done)
            finally:
                self.site.pacing.end_wait(answered=answered)
        return self._finish(head, user)

    async def arespond(
        self,
        status: int,
        headers: Iterable[Any],
        *,
        read: ReadHead = read_head,
        user: Callable[[], object] | None = None,
    ) -> Sequence[Cookie]:
        """Do `respond` without blocking the event loop."""
        head = guard.attempt(lambda: read(status, headers), _no_head)
        if head is None:
            return _NONE
        pause = 0.0
        if self._reply is not None:
            pause = guard.attempt(lambda: self._pause(head), lambda _: 0.0)
        if pause and self._reply is not None:
            answered = False
            try:
                answered = await _settled(self._reply, pause)
            finally:
                self.site.pacing.end_wait(answered=answered)
        if self.blocks:
            return await asyncio.to_thread(self._finished, head, user)
        return self._finished(head, user)

    def _finished(
        self, head: Head, user: Callable[[], object] | None
    ) -> Sequence[Cookie]:
        return guard.attempt(lambda: self._finish(head, user), _no_cookies)

    def _pause(self, head: Head) -> float:
        """Return for how long the backend's answer is worth waiting for."""
        reply = self._reply
        if reply is None or reply.done() or head.status >= 400:
            return 0.0
        if not head.may_carry_cookies("GET") or not self._is_page(head):
            return 0.0
        elapsed = SYSTEM_CLOCK.monotonic() - self._asked_at
        return self.site.pacing.begin_wait(elapsed, self.site.options.handshake_wait)

    def _is_page(self, head: Head) -> bool:
        context = self.context
        lands = context.new_session and not context.is_reset
        return self._kind is not None and self.site.rules.is_page(
            self._kind, self.request, head, landing=lands
        )

    def _finish(
        self, head: Head, user: Callable[[], object] | None
    ) -> Sequence[Cookie]:
        context, site = self.context, self.site
        if site.options.session_endpoint:
            self._note_dealt_with(head)
        unused = not context.visitor_used and not context.is_reset
        if self._kind is None and unused:
            self._close(carries=False)
            return _NONE
        page = self._is_page(head)
        carries = head.may_carry_cookies(self.request.method)
        if self._kind is Kind.STRONG and context.new_session and not context.is_reset:
            site.landed(self.request.path, got_cookies=page and carries)
        if page and not self._recorded and not self._responded:
            if user is not None and site.options.detect_user:
                self._note_user(user)
            self._count(head, carries=carries)
        self._responded = True
        told = self._told() if carries else _UNTOLD
        self._adopt(told)
        shown = self._recorded and self._recorded_for == context.visitor_id
        cookies = self.cookies(page=shown, told=told) if carries else _NONE
        self._close(carries=carries, shown=shown)
        return cookies

    def _adopt(self, told: _Values) -> None:
        """Go on as whom the backend told, since the browser gets to know that one."""
        context = self.context
        if told and context.visitor_id == self._proposed[0]:
            context.visitor_id, context.session_id = self._said(told)
            self._recorded_for = context.visitor_id

    def _note_dealt_with(self, head: Head) -> None:
        """Note whether the script of this page is to keep still."""
        self._dealt_with = (
            not head.shared
            and head.content_type in ("", *HTML)
            # or the page would keep still when it is opened at last
            and (self._kind is not None or not is_prefetch(self.request))
        )

    def _close(self, *, carries: bool, shown: bool = False) -> None:
        """Make sure that nobody is spoken of whom the browser will never know.

        The body and what runs after it may still record, of whoever has a cookie.
        """
        context = self.context
        context.can_answer = False
        told = carries and (shown or context.visitor_used)
        if context.is_read and context.new_visitor and not told:
            context.visitor_id = context.session_id = None

    def _note_user(self, user: Callable[[], object]) -> None:
        """Say who is logged in, if the framework knows it already."""
        context = self.context
        if context.is_reset:  # who is loaded is the one who has gone
            return
        if context.user_id is None and context.consent == GRANTED:
            found = guard.attempt(user, lambda _: None)
            context.user_id = str(found) if found is not None else None

    def _count(self, head: Head, *, carries: bool) -> None:
        """Record the page view, unless its visitor would be nobody's."""
        context = self.context
        if carries:
            self.record(head.status)
        elif head.shared and self.site.options.session_endpoint:
            pass  # the page's script does it, also where the page comes from the cache
        elif context.new_visitor:
            # Without a cookie each view of the page would be a visitor of its own.
            self.client.delivery.leave_out("public_page")
        else:
            if context.new_session:  # which the browser does not get to know
                context.session_id = None
            self.record(head.status)

    def cookies(self, *, page: bool, told: _Values = _UNTOLD) -> Sequence[Cookie]:
        """Return our cookies for a response that may carry them.

        *told* is what the backend says of them.
        """
        context = self.context
        if context.consent != GRANTED:
            parts = context.consent == DENIED or context.is_reset
            return self._write(_GONE if parts and context.had_cookies else {})
        values: dict[str, tuple[str, int | None]] = {}
        unknown = context.new_visitor or context.is_corrected  # to the browser
        if (page and (context.new_session or unknown)) or (
            unknown and context.visitor_used
        ):
            values[_VISITOR] = told.get(_VISITOR, (context.visitor_id or "", None))
        # An event may have named a new session on what turned out to be no page.
        begun = context.new_session and context.visitor_used
        if (page or begun) and context.session_id is not None:
            values[_SESSION] = told.get(_SESSION, (context.session_id, None))
        if context.is_reset and context.had_cookies:
            values = {**_GONE, **values}
        return self._write(values)

    def _write(self, values: _Values) -> Sequence[Cookie]:
        if not values:
            return _NONE
        options, request = self.site.options, self.request
        secure = options.cookie_secure
        if secure == "auto":
            secure = request.secure
        wanted = options.cookie_domain
        domain = _domain(wanted, request.host) if wanted is not None else None
        cookies = [
            Cookie(name, value, _AGES[name] if age is None else age, secure, domain)
            for name, (value, age) in values.items()
            if value or age == 0
        ]
        if domain is not None:  # cookies from before it was set are the host's alone
            parts = self.context.is_reset  # the old one would be read first
            twins = [
                one._replace(value="", max_age=0, domain=None)
                for one in cookies
                if parts or one.max_age == 0
            ]
            return [*twins, *cookies]
        return cookies

    def _told(self) -> _Values:
        """Return what the backend set, if its answer is here."""
        reply = self._reply
        if reply is None or not reply.done() or self.context.is_reset:
            return _UNTOLD
        answer = reply.result()
        return read_set_cookies(answer.cookies) if answer.delivered else _UNTOLD

    def end(self) -> None:
        """Let go of the request, once its response is on the way."""
        if not self.request.lives_on:
            self.context.release()
        self.request.release()


def _no_cookies(error: Exception) -> tuple[Cookie, ...]:
    guard.report("web response", error)
    return _NONE


def _no_head(error: Exception) -> None:
    guard.report("web response", error)


def in_asyncio() -> bool:
    """Tell whether asyncio runs this code; other loops cannot wait for its futures."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio's
        return False
    return True


async def _settled(reply: Future[Answer], seconds: float) -> bool:
    """Wait for *reply* without blocking the loop; only asyncio's is waited in."""
    if not in_asyncio():
        return reply.done()
    done, _ = await asyncio.wait({asyncio.wrap_future(reply)}, timeout=seconds)
    return bool(done)


def _domain(wanted: str, host: str | None) -> str | None:
    """Return the domain for a cookie; None where the browser would refuse it."""
    name = (host or "").partition(":")[0]
    return wanted if f".{name}".endswith(f".{wanted.lstrip('.').lower()}") else None
