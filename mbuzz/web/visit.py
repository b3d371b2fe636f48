"""The context of a web request: who is asking, read from it when first needed."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

from mbuzz import guard, ids, protocol
from mbuzz.context import GRANTED, UNKNOWN, RequestContext
from mbuzz.web.consent import consent_of, has_gpc, without_click_ids
from mbuzz.web.cookies import read_cookie
from mbuzz.web.pageview import is_prefetch
from mbuzz.web.request import WebRequest
from mbuzz.web_options import WebOptions

if TYPE_CHECKING:
    from mbuzz.web.site import Site


class _Found(NamedTuple):
    """What a request says; by default nothing, as one that is over."""

    visitor_id: str | None = None
    session_id: str | None = None
    new_visitor: bool = False
    new_session: bool = False
    is_corrected: bool = False
    had_cookies: bool = False
    url: str | None = None
    referrer: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    consent: str = UNKNOWN


class Visit(RequestContext):
    """What one request says of its visitor, session and page.

    Most requests ask nothing of it, so that nothing is read before its first use. Two
    threads may be first: what one of them finds holds for both.
    """

    __slots__ = (
        "_agreed",
        "_filling",
        "_request",
        "_site",
        "can_answer",  # with cookies; where not, nobody new is made
        "had_cookies",
        "is_corrected",  # by an answer that came late: the cookie says otherwise
        "is_page",  # or may become one, and then begin a session
        "is_read",
        "is_reset",
        "new_session",
        "new_visitor",
    )

    if not TYPE_CHECKING:

        def __init__(self, request, site, now_ms):  # not the base's: that fills all
            self._request = request
            self._site = site
            self._filling, self._agreed = RLock(), {}
            self.started_at_ms = now_ms
            self.user_id = self.flow_id = self.parent_id = None
            self.can_answer = True
            self.visitor_used = self.is_reset = self.is_page = self.is_read = False

        def __getattr__(self, name):  # of a slot that is still empty
            if name not in _Found._fields:
                raise AttributeError(name)
            self._fill()
            return getattr(self, name)

    else:

        def __init__(self, request: WebRequest, site: Site, now_ms: int) -> None: ...

        _agreed: dict[str, _Found]
        _filling: RLock
        _request: WebRequest | None
        _site: Site
        can_answer: bool
        had_cookies: bool
        is_corrected: bool
        is_page: bool
        is_read: bool
        is_reset: bool
        new_session: bool
        new_visitor: bool

    def forget(self) -> None:
        """Drop all identity, and record nothing more."""
        self._read()
        super().forget()
        self.visitor_used = True

    def reset(self) -> None:
        """Go on as a new visitor, whom the browser is told of if anything is recorded.

        Otherwise the cookies just expire, and a page that nobody opens makes no visit.
        Where the browser cannot be told any more it is nobody.
        """
        self._read()
        super().reset()
        if self.consent == GRANTED and self.can_answer:
            self.visitor_id = ids.visitor_id()
            self.session_id = ids.session_id() if self.is_page else None
        self.new_visitor = self.new_session = self.is_reset = True
        self.visitor_used = False

    def _read(self) -> bool:
        """Make sure that all is read; return whether there is consent."""
        return self.consent == GRANTED

    def _fill(self) -> None:
        request = self._request
        found: _Found | None = None
        if request is not None:
            found = guard.attempt(lambda: self._found(request, self._site), _unread)
        if found is None or self._request is None:  # it has ended: half of it is gone
            found = _Found(consent=_unasked(self._site.options))
        # One thread's findings count, and no other's overwrite what has happened since;
        # a finalizer may come in between and find the same.
        found = self._agreed.setdefault("found", found)
        with self._filling:
            if not self.is_read:
                (
                    self.visitor_id,
                    self.session_id,
                    self.new_visitor,
                    self.new_session,
                    self.is_corrected,
                    self.had_cookies,
                    self.url,
                    self.referrer,
                    self.user_agent,
                    self.request_id,
                    self.traceparent,
                    self.consent,
                ) = found
                self.is_read = True

    def _found(self, request: WebRequest, site: Site) -> _Found:
        consent = consent_of(request, site.options)
        url, referrer = request.url, request.referrer
        if has_gpc(request):
            url = url and without_click_ids(url)
            referrer = referrer and without_click_ids(referrer)
        cookie = request.cookie
        visitor = read_cookie(cookie, protocol.VISITOR_COOKIE)
        session = read_cookie(cookie, protocol.SESSION_COOKIE)
        had_cookies = visitor is not None or session is not None
        is_new = begins = is_corrected = False
        if consent != GRANTED:
            visitor = session = None
        else:
            if visitor is not None:
                known = visitor
                visitor, session = site.late.correct(visitor, session)
                is_corrected = visitor != known
            # A session without its visitor is a leftover and would join strangers.
            begins = visitor is None or session is None
            if begins:
                session = ids.session_id() if self.is_page else None
            if visitor is None and self._may_be_new(request):
                visitor, is_new = ids.visitor_id(), True
        return _Found(
            visitor,
            session,
            is_new,
            begins,
            is_corrected,
            had_cookies,
            url,
            referrer,
            request.user_agent,
            request.request_id or ids.time_ordered("req", self.started_at_ms or 0),
            request.traceparent,
            consent,
        )

    def _may_be_new(self, request: WebRequest) -> bool:
        """Tell whether a visitor may be made: somebody who will get the cookie."""
        if not self.can_answer or request.method == "HEAD":
            return False
        return self.is_page or not is_prefetch(request)

    def release(self) -> None:
        """Let go of the request, whose server goes on to use its parts."""
        self._request = None
        self.can_answer = False


def _unread(error: Exception) -> _Found:
    guard.report("web request", error)
    return _Found(consent=UNKNOWN)


def _unasked(options: WebOptions) -> str:
    """Return the consent of somebody whom it is too late to ask."""
    asks = options.consent or options.respect_gpc or options.respect_dnt
    return UNKNOWN if asks else GRANTED
