"""What the caller said, as items of the wire; the checks that need no server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

from mbuzz import guard, protocol
from mbuzz.clock import iso, to_ms
from mbuzz.context import RequestContext

_MS_FROM = 10**11  # a larger number of seconds would be past the year 5000
_ITEM_ID = re.compile(rf"[\x21-\x7e]{{1,{protocol.MAX_EVENT_ID}}}")
_MOST_MONEY = 10**12
_SANE_EXPONENTS = range(-40, 13)  # others would be written as thousands of zeros
_SANE_MS = range(-62_135_596_800_000, 253_402_300_800_000)  # years 1 to 9999


class InvalidEventError(ValueError):
    """The call cannot become an event; the text is the result's `error`."""


def text_id(value: object, error: str) -> str | None:
    """Return a user's or visitor's id as text; whole numbers count as their digits.

    Raises:
        InvalidEventError: With *error*, if it is neither text nor a whole number.
    """
    if value is None:
        return None
    usable = isinstance(value, str | int) or type(value).__name__ == "UUID"
    if not usable or isinstance(value, bool):
        raise InvalidEventError(error)
    text = value.strip() if type(value) is str else _text(value, error)
    if not text:
        return None
    if len(text) > protocol.MAX_USER_ID:
        raise InvalidEventError(error)
    return text


def _text(value: object, error: str) -> str:
    """Return what is not plain text as such; a number may be too long for it."""

    def failed(_: Exception) -> str:
        raise InvalidEventError(error)

    return guard.attempt(lambda: str(value).strip(), failed)


def when(timestamp: object, now_ms: int) -> str:
    """Return *timestamp* as the wire writes times; None is *now_ms*.

    A naive datetime is local time, text is ISO 8601, a number is Unix seconds or,
    from 10**11, milliseconds.

    Raises:
        InvalidEventError: If it is none of these.
    """
    if timestamp is None:
        return iso(now_ms)
    try:
        if isinstance(timestamp, datetime):
            return iso(to_ms(timestamp))
        if isinstance(timestamp, str):
            return iso(to_ms(datetime.fromisoformat(timestamp.strip())))
        if isinstance(timestamp, int | float) and not isinstance(timestamp, bool):
            ms = int(timestamp if abs(timestamp) >= _MS_FROM else timestamp * 1000)
            if ms in _SANE_MS:
                return iso(ms)
    except (ValueError, OverflowError):
        pass
    raise InvalidEventError("invalid_timestamp")


def money(revenue: object) -> str | None:
    """Return *revenue* as exact decimal text.

    Raises:
        InvalidEventError: If it is no number, not finite, or negative.
    """
    if revenue is None:
        return None
    if isinstance(revenue, bool) or not isinstance(
        revenue, Decimal | int | float | str
    ):
        raise InvalidEventError("invalid_revenue")
    try:
        amount = revenue if isinstance(revenue, Decimal) else Decimal(str(revenue))
    except (InvalidOperation, ValueError):
        raise InvalidEventError("invalid_revenue") from None
    if not amount.is_finite() or amount < 0 or amount > _MOST_MONEY:
        raise InvalidEventError("invalid_revenue")
    if amount.as_tuple().exponent not in _SANE_EXPONENTS:
        raise InvalidEventError("invalid_revenue")
    return format(amount, "f")


def identity(
    user_id: object, visitor_id: object, context: RequestContext | None
) -> dict[str, object]:
    """Return who the call is about; what was left out comes from the request.

    The request's visitor joins an explicit user only if the user is the request's own
    or the request has none: a job or an admin page may speak about somebody else.

    Raises:
        InvalidEventError: If an id is unusable, or there is none at all.
    """
    who: dict[str, object] = {}
    user = text_id(user_id, "invalid_user_id")
    visitor = text_id(visitor_id, "invalid_visitor_id")
    if context is not None:
        known = text_id(context.user_id, "invalid_user_id")
        own = user is None or known in (None, user)
        if user is None and visitor is None:
            user = known
        if visitor is None and own and context.visitor_id is not None:
            visitor = text_id(context.visitor_id, "invalid_visitor_id")
            context.visitor_used = True
            session = text_id(context.session_id, "invalid_session_id")
            if session is not None:
                who["session_id"] = session
    if visitor is not None and not protocol.WIRE_ID.fullmatch(visitor):
        raise InvalidEventError("invalid_visitor_id")
    if user is None and visitor is None:
        raise InvalidEventError("missing_identity")
    if visitor is not None:
        who["visitor_id"] = visitor
    if user is not None:
        who["user_id"] = user
    return who


def mapping(given: object, error: str) -> dict[str, object]:
    """Return a copy of the properties or traits; one that cannot be read is marked.

    Raises:
        InvalidEventError: With *error*, if they are no mapping.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InvalidEventError(error)
    return guard.attempt(lambda: dict(given), lambda _: {"unreadable": True})


def name(given: object, error: str) -> str:
    """Return the name of an event or a type of conversion.

    Raises:
        InvalidEventError: With *error*, if there is none.
    """
    if not isinstance(given, str) or not given.strip():
        raise InvalidEventError(error)
    return given.strip()[: protocol.MAX_EVENT_TYPE]


def item_id(given: object) -> str | None:
    """Return the caller's own id of an event.

    Raises:
        InvalidEventError: If it is not what the wire takes.
    """
    text = text_id(given, "invalid_event_id")
    if text is not None and not _ITEM_ID.fullmatch(text):
        raise InvalidEventError("invalid_event_id")
    return text


def with_page(
    properties: Mapping[str, object] | None, context: RequestContext | None
) -> dict[str, object]:
    """Return a copy of *properties* with the request's page where none was given.

    Raises:
        InvalidEventError: If they are no mapping.
    """
    merged = mapping(properties, "invalid_properties")
    if context is not None and context.url is not None and "url" not in merged:
        merged["url"] = context.url
        if context.referrer is not None:
            merged.setdefault("referrer", context.referrer)
        if context.user_agent is not None:
            merged.setdefault("user_agent", context.user_agent)
    return merged


def correlation(
    context: RequestContext | None, **given: str | None
) -> dict[str, str] | None:
    """Return the ids that tie events together, given or the request's; None if none.

    Raises:
        InvalidEventError: If one is no text.
    """
    found: dict[str, str] = {}
    for key, value in given.items():
        chosen = value if value is not None else getattr(context, key, None)
        if chosen is not None:
            found[key] = _text(chosen, "invalid_correlation")[: protocol.MAX_USER_ID]
    return found or None
