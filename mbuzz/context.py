"""Who is being served right now: the request's visitor, session, user and page."""

from __future__ import annotations

from contextvars import ContextVar, Token

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from typing import Any

GRANTED, DENIED, UNKNOWN = "granted", "denied", "unknown"  # what is known of consent
_LONGEST_HEADER = 255  # of which a trace needs 55
_HEX = frozenset("0123456789abcdef")


class RequestContext:
    """One request's identity, shared by all code that runs for it.

    Mutable on purpose: `identify()` sets the user on this object, and every task
    and thread that inherited the context sees it, which a new value in the context
    variable would not reach.
    """

    __slots__ = (
        "consent",
        "flow_id",
        "parent_id",
        "referrer",
        "request_id",
        "session_id",
        "started_at_ms",
        "traceparent",
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
        traceparent: str | None = None,
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
        self.traceparent = traceparent  # as `read_traceparent` returns it
        self.started_at_ms = started_at_ms
        self.consent = GRANTED  # or nothing that is said in here is recorded
        self.visitor_used = False  # a call spoke for the visitor: the browser must know

    @property
    def trace_id(self) -> str | None:
        """Return the 32 hex digits of the trace that this is a part of."""
        return self.traceparent[3:35] if self.traceparent else None

    def __repr__(self) -> str:
        # No ids: error pages and mails print what a request carries.
        return f"<{type(self).__name__}>"

    def forget(self) -> None:
        """Drop all identity, and record nothing more; see `mbuzz.forget`."""
        self.visitor_id = self.session_id = self.user_id = None
        self.consent = DENIED

    def reset(self) -> None:
        """Go on as nobody; see `mbuzz.reset`."""
        self.visitor_id = self.session_id = self.user_id = None


def _of_outer(name: str) -> Any:
    """Return an attribute that is the outer context's, for reading and writing."""
    return property(
        lambda self: getattr(self.outer, name),
        lambda self, value: setattr(self.outer, name, value),
    )


class _Flow(RequestContext):
    """The same request under other correlation ids.

    Who is served stays one fact: a log-in inside of the flow is the request's too.
    """

    __slots__ = ("outer",)

    consent = _of_outer("consent")
    visitor_id = _of_outer("visitor_id")
    session_id = _of_outer("session_id")
    user_id = _of_outer("user_id")
    visitor_used = _of_outer("visitor_used")
    url = _of_outer("url")
    referrer = _of_outer("referrer")
    user_agent = _of_outer("user_agent")
    started_at_ms = _of_outer("started_at_ms")

    def __init__(self, outer: RequestContext) -> None:  # not the base's: it would write
        self.outer = outer
        self.request_id = outer.request_id
        self.flow_id = outer.flow_id
        self.parent_id = outer.parent_id
        self.traceparent = outer.traceparent

    def forget(self) -> None:
        self.outer.forget()

    def reset(self) -> None:
        self.outer.reset()


class _Explicit(RequestContext):
    """Another identity, within a request of somebody who goes on being served."""

    __slots__ = ("outer",)

    def __init__(self, outer: RequestContext, **identity: str | None) -> None:
        super().__init__(**identity)  # type: ignore[arg-type]
        self.outer = outer
        if outer.consent == DENIED:
            self.consent = DENIED  # who is unknown, such as a webhook, is not asked

    def forget(self) -> None:
        super().forget()
        self.outer.forget()  # it is the browser's person who refuses, or logs out

    def reset(self) -> None:
        super().reset()
        self.outer.reset()


_current: ContextVar[RequestContext | None] = ContextVar("mbuzz", default=None)


def current() -> RequestContext | None:
    """Return the context of the request or job being served, if there is one."""
    return _current.get()


def is_within(context: object) -> bool:
    """Tell whether *context* is the current one, or one around it."""
    inner = _current.get()
    while inner is not None and inner is not context:
        inner = getattr(inner, "outer", None)
    return inner is not None


def enter(context: RequestContext | None) -> Token[RequestContext | None]:
    """Make *context* the current one until `leave` is called with what this returns."""
    return _current.set(context)


def leave(token: Token[RequestContext | None]) -> None:
    """Go back to the context before."""
    try:
        _current.reset(token)
    except ValueError:  # the block was left in another context than it entered
        _current.set(None)


class Serving:
    """A block that is run as one context; made by `serving`."""

    __slots__ = ("_context", "_tokens")

    def __init__(self, context: RequestContext | None) -> None:
        self._context = context
        self._tokens: list[Token[RequestContext | None]] = []  # it may be nested

    def __enter__(self) -> None:
        self._tokens.append(enter(self._context))

    def __exit__(self, *_error: object) -> None:
        leave(self._tokens.pop())


class Scope(Serving):
    """A block that is run as a context of its own, which `with` hands out."""

    __slots__ = ("_own",)

    def __init__(self, context: RequestContext) -> None:
        super().__init__(context)
        self._own = context

    def __enter__(self) -> RequestContext:  # type: ignore[override]
        super().__enter__()
        return self._own


def serving(context: RequestContext | None) -> Serving:
    """Make *context* the current one for a block, in this frame and its callees."""
    return Serving(context)


def context_scope(
    *,
    visitor_id: str | None = None,
    session_id: str | None = None,
    user_id: str | None = None,
    request_id: str | None = None,
    flow_id: str | None = None,
    parent_id: str | None = None,
    traceparent: str | None = None,
) -> Scope:
    """Give the calls of a block an explicit identity, or tie them together.

    With a `visitor_id`, `session_id` or `user_id` the block is about exactly that
    identity: nothing of a surrounding request's visitor, user or page gets in. Without
    any, it stays the surrounding request, whose user `identify()` sets in here too.
    Correlation ids that are not given are the surrounding ones in both cases;
    `traceparent` is a W3C header's text, ignored if it is none.
    """
    around = current()
    context: RequestContext
    if around is None or (visitor_id, session_id, user_id) != (None, None, None):
        who = {"visitor_id": visitor_id, "session_id": session_id, "user_id": user_id}
        if around is None:
            context = RequestContext(**who)  # type: ignore[arg-type]
        else:
            context = _Explicit(around, **who)
            _correlate(
                context,
                request_id=around.request_id,
                flow_id=around.flow_id,
                parent_id=around.parent_id,
                traceparent=around.traceparent,
            )
    else:
        context = _Flow(around)
    _correlate(
        context,
        request_id=request_id,
        flow_id=flow_id,
        parent_id=parent_id,
        traceparent=read_traceparent(traceparent),
    )
    return Scope(context)


def _correlate(context: RequestContext, **given: str | None) -> None:
    for name, value in given.items():
        if value is not None:
            setattr(context, name, value)


def read_traceparent(header: object) -> str | None:
    """Return a ``traceparent`` header if it is well-formed, else None.

    Only version 00 is known, and an id of zeros is none.

    Source: W3C Trace Context, section 3.2.
    """
    if not isinstance(header, str) or len(header) > _LONGEST_HEADER:
        return None
    text = header.strip(" \t")
    parts = text.split("-")
    if [len(part) for part in parts] != [2, 32, 16, 2] or not _HEX.issuperset(
        "".join(parts)
    ):
        return None
    version, trace, span, _ = parts
    if version != "00" or not trace.strip("0") or not span.strip("0"):
        return None
    return text
