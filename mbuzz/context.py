"""Who is being served right now: the request's visitor, session, user and page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class RequestContext:
    """One request's identity, shared by all code that runs for it.

    Mutable on purpose: `identify()` sets the user on this object, and every task
    and thread that inherited the context sees it, which a new value in the context
    variable would not reach.
    """

    __slots__ = (
        "flow_id",
        "parent_id",
        "referrer",
        "request_id",
        "session_id",
        "started_at_ms",
        "url",
        "user_agent",
        "user_id",
        "visitor_id",
        "visitor_used",
    )

    def __init__(
        self,
        *,
        visitor_id: str | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        url: str | None = None,
        referrer: str | None = None,
        user_agent: str | None = None,
        request_id: str | None = None,
        flow_id: str | None = None,
        parent_id: str | None = None,
        started_at_ms: int | None = None,
    ) -> None:
        self.visitor_id = visitor_id
        self.session_id = session_id
        self.user_id = user_id
        self.url = url
        self.referrer = referrer
        self.user_agent = user_agent
        self.request_id = request_id
        self.flow_id = flow_id
        self.parent_id = parent_id
        self.started_at_ms = started_at_ms
        self.visitor_used = False  # a call spoke for the visitor: the browser must know

    def __repr__(self) -> str:
        return f"<RequestContext visitor={self.visitor_id} user={self.user_id}>"


_current: ContextVar[RequestContext | None] = ContextVar("mbuzz", default=None)


def current() -> RequestContext | None:
    """Return the context of the request or job being served, if there is one."""
    return _current.get()


@contextmanager
def serving(context: RequestContext | None) -> Iterator[None]:
    """Make *context* the current one for a block, in this frame and its callees."""
    token = _current.set(context)
    try:
        yield
    finally:
        try:
            _current.reset(token)
        except ValueError:  # the block was left in another context than it entered
            _current.set(None)


@contextmanager
def context_scope(
    *,
    visitor_id: str | None = None,
    session_id: str | None = None,
    user_id: str | None = None,
    request_id: str | None = None,
    flow_id: str | None = None,
    parent_id: str | None = None,
) -> Iterator[RequestContext]:
    """Give the calls of a script or job an explicit identity."""
    context = RequestContext(
        visitor_id=visitor_id,
        session_id=session_id,
        user_id=user_id,
        request_id=request_id,
        flow_id=flow_id,
        parent_id=parent_id,
    )
    with serving(context):
        yield context
