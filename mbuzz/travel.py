"""The present context on its way: into threads, callbacks and jobs of other processes.

Within a thread or a task it is simply there, see `mbuzz.context`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from mbuzz import guard, protocol
from mbuzz.context import (
    DENIED,
    GRANTED,
    UNKNOWN,
    RequestContext,
    Scope,
    current,
    read_traceparent,
    serving,
)

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from typing import Any, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")

_LONGEST = protocol.MAX_USER_ID  # characters


def bind(function: Callable[P, T]) -> Callable[P, T]:
    """Return *function* bound to the present context, wherever it is called.

    For thread pools, executors, timers and callbacks, which do not inherit it. A
    coroutine function stays one. The context is shared and not copied: a user that the
    function identifies is the request's too. Without a context it runs as nobody.
    Not for generators, whose body runs after the call.
    """
    from inspect import iscoroutinefunction

    context = current()
    _speak_for(context)
    call = getattr(function, "__call__", None)  # noqa: B004 - of an object, its method
    if iscoroutinefunction(function) or iscoroutinefunction(call):

        @functools.wraps(function)
        async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with serving(context):
                return await function(*args, **kwargs)  # type: ignore[misc]

        return run_async  # type: ignore[return-value]

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with serving(context):
            return function(*args, **kwargs)

    return run


def carrier() -> dict[str, str]:
    """Return the present visitor, session, user and correlation, for a job's payload.

    Flat text under at most 8 names, each of at most 255 characters, so that every queue
    can keep it; empty where nobody is served. `attach` takes it.
    """
    context = current()
    _speak_for(context)
    return _carried(lambda name: getattr(context, name, None))


def attach(carrier: Mapping[str, str] | None) -> Scope:
    """Run a block as the visitor and in the flow that *carrier* tells of.

    What surrounds the block does not get in, so an empty carrier is nobody. Whatever
    *carrier* is, nothing is raised: what cannot be used is left out.
    """
    get = guard.attempt(lambda: _getter(carrier), lambda _: _nothing)
    found = _carried(get)
    if "visitor_id" not in found:
        found.pop("session_id", None)  # a session without its visitor joins strangers
    consent = found.pop("consent", GRANTED)
    context = RequestContext(**found)  # type: ignore[arg-type]
    context.consent = consent  # a refusal holds for the job, too
    return Scope(context)


def _speak_for(context: RequestContext | None) -> None:
    """Have the browser told of a visitor who will be spoken of elsewhere."""
    if context is not None and context.visitor_id is not None:
        context.visitor_used = True


def _getter(carrier: object) -> Callable[[str], object]:
    return carrier.get if isinstance(carrier, Mapping) else _nothing


def _nothing(_: object) -> None:
    return None


def _carried(get: Callable[[str], object]) -> dict[str, str]:
    found = {}
    for name, read in _CARRIED.items():
        value = guard.attempt(functools.partial(_read, read, get, name), _nothing)
        if value is not None:
            found[name] = value
    return found


def _read(
    read: Callable[[object], str | None], get: Callable[[str], object], name: str
) -> str | None:
    return read(get(name))


def _text(value: object) -> str | None:
    """Return *value* as a user's or flow's id; whole numbers count as their digits."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        return None
    return str(value) if value.isprintable() else None


def _refusal(value: object) -> str | None:
    return str(value) if value in (DENIED, UNKNOWN) else None


def _id(value: object) -> str | None:
    text = _text(value)
    return text if text is not None and protocol.WIRE_ID.fullmatch(text) else None


_CARRIED: Mapping[str, Callable[[object], str | None]] = {
    "visitor_id": _id,
    "session_id": _id,
    "user_id": _text,
    "request_id": _text,
    "flow_id": _text,
    "parent_id": _text,
    "traceparent": read_traceparent,
    "consent": _refusal,
}
