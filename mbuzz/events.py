"""What the caller said, as items of the wire; the checks that need no server."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mbuzz import guard, protocol
from mbuzz.clock import iso, to_ms
from mbuzz.context import GRANTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mbuzz.context import RequestContext

_MS_FROM = 10**11  # a larger number of seconds would be past the year 5000
_ITEM_ID = re.compile(rf"[\x21-\x7e]{{1,{protocol.MAX_EVENT_ID}}}")
_MOST_MONEY = 10**12
_SANE_EXPONENTS = range(-40, 13)  # others would be written as thousands of zeros
_RECENT_MS = range(_MS_FROM, 4 * 10**12)  # up to 2096, as the middleware gives it
_SANE_MS = range(-62_135_596_800_000, 253_402_300_800_000)  # years 1 to 9999


class InvalidEventError(ValueError):
    """The call cannot become an event; the text is the result's `error`."""


class LeftOutError(InvalidEventError):
    """The event is not to be sent, on purpose."""


def text_id(value: object, error: str) -> str | None:
    """Return a user's or visitor's id as text, if it has any sensible form as such.

    Text, whole numbers of any kind, UUIDs, bytes that are UTF-8, lazy texts, and an
    Enum by its value.

    Raises:
        InvalidEventError: With *error*, if it has none.
    """
    if value is None:
        return None
    text = value.strip() if type(value) is str else _text(value, error)
    if not text:
        return None
    if len(text) > protocol.MAX_USER_ID:
        raise InvalidEventError(error)
    return text


def required_id(value: object, error: str) -> str:
    """Return an id as `text_id` does.

    Raises:
        InvalidEventError: With *error* if it is unusable, or if there is none.
    """
    text = text_id(value, error)
    if text is None:
        raise InvalidEventError("missing_identity")
    return text


def hint(value: object) -> str | None:
    """Return what only ties events together as text, cut; None if it is none."""
    text = guard.attempt(lambda: _as_text(value), lambda _: None)
    return text.strip()[: protocol.MAX_USER_ID] or None if text is not None else None


def _text(value: object, error: str) -> str:
    def failed(_: Exception) -> None:
        return None

    text = guard.attempt(lambda: _as_text(value), failed)
    if text is None:
        raise InvalidEventError(error)
    return text.strip()


def _as_text(value: object) -> str | None:
    """Return what is not plain text as such; may raise, `_text` catches it."""
    if isinstance(value, str):
        value = _enum_value(value)
        return str.__str__(value) if isinstance(value, str) else None
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, bytes):
        return value.decode()
    plain = _enum_value(value)
    if plain is not value:
        return None if plain is None else _text(plain, "")
    kind = type(value)
    if kind.__name__ in ("UUID", "__proxy__"):  # the latter is Django's lazy text
        return str(value)
    number: Any = value
    if hasattr(kind, "__index__"):  # a numpy integer
        return str(int(number))
    if hasattr(kind, "__float__") and number == int(number):
        return str(int(number))
    return None


def _enum_value(value: object) -> object:
    return value.value if hasattr(type(value), "__members__") else value  # type: ignore[attr-defined]


def when(timestamp: object, now_ms: int) -> str:
    """Return *timestamp* as the wire writes times; None is *now_ms*.

    A naive datetime is local time, text is ISO 8601, a number is Unix seconds or,
    from 10**11, milliseconds.

    Raises:
        InvalidEventError: If it is none of these.
    """
    if timestamp is None:
        return iso(now_ms)
    if type(timestamp) is int and timestamp in _RECENT_MS:
        return iso(timestamp)
    try:
        ms = _timestamp_ms(timestamp)
    except (ValueError, OverflowError):
        ms = None
    if ms is None or ms not in _SANE_MS:
        raise InvalidEventError("invalid_timestamp")
    return iso(ms)


def _timestamp_ms(timestamp: object) -> int | None:
    if isinstance(timestamp, int | float) and not isinstance(timestamp, bool):
        return int(timestamp if abs(timestamp) >= _MS_FROM else timestamp * 1000)
    from datetime import datetime

    if isinstance(timestamp, str):
        timestamp = datetime.fromisoformat(timestamp.strip())
    return to_ms(timestamp) if isinstance(timestamp, datetime) else None


def money(revenue: object) -> str | None:
    """Return *revenue* as exact decimal text.

    Raises:
        InvalidEventError: If it is no number, not finite, or negative.
    """
    if revenue is None:
        return None
    from decimal import Decimal, InvalidOperation

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


def check_consent(context: RequestContext | None) -> None:
    """Hold back what is said while somebody is served who does not consent.

    Raises:
        LeftOutError: If so.
    """
    if context is not None and context.consent != GRANTED:
        raise LeftOutError("no_consent")


def identity(
    user_id: object,
    visitor_id: object,
    context: RequestContext | None,
    *,
    needed: bool = True,
) -> dict[str, str]:
    """Return who the call is about; what was left out comes from the request.

    The request's visitor joins an explicit user only if the user is the request's own
    or the request has none: a job or an admin page may speak about somebody else.

    Raises:
        InvalidEventError: If an id is unusable, or there is none and one is *needed*,
            or if the person served wants nothing recorded.
    """
    check_consent(context)
    who: dict[str, str] = {}
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
            session = hint(context.session_id)
            if session is not None:
                who["session_id"] = session
    if visitor is not None and not protocol.WIRE_ID.fullmatch(visitor):
        raise InvalidEventError("invalid_visitor_id")
    if user is None and visitor is None and needed:
        raise InvalidEventError("missing_identity")
    if visitor is not None:
        who["visitor_id"] = visitor
    if user is not None:
        who["user_id"] = user
    return who


def mapping(given: object) -> dict[str, object]:
    """Return a copy of the properties or traits.

    Anything but a mapping is kept under ``value``; one that cannot be read is marked.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return guard.attempt(lambda: dict(given), lambda _: {"unreadable": True})
    return {"value": given}


def name(given: object, error: str) -> str:
    """Return the name of an event or a type of conversion.

    Raises:
        InvalidEventError: With *error*, if there is none.
    """
    text = given.strip() if type(given) is str else _text(given, error)
    if not text:
        raise InvalidEventError(error)
    return text[: protocol.MAX_EVENT_TYPE]


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
    """Return a copy of *properties* with the request's page where none was given."""
    merged = mapping(properties)
    if context is not None and context.url is not None and "url" not in merged:
        merged["url"] = context.url
        if context.referrer is not None:
            merged.setdefault("referrer", context.referrer)
        if context.user_agent is not None:
            merged.setdefault("user_agent", context.user_agent)
    return merged


def correlation(
    context: RequestContext | None, **given: object
) -> dict[str, str] | None:
    """Return the ids that tie events together, given or the request's; None if none.

    One that is no text is left out: it is worth less than the event.
    """
    found: dict[str, str] = {}
    if context is not None and context.trace_id is not None:
        found["trace_id"] = context.trace_id
    for key, value in given.items():
        chosen = hint(value if value is not None else getattr(context, key, None))
        if chosen is not None:
            found[key] = chosen
    return found or None


def in_sample(who: Mapping[str, object], rate: float) -> bool:
    """Tell whether the visitor of an event is among the share that is tracked.

    A visitor, or a user where no visitor is known, is in or out as a whole.
    """
    import zlib

    key = str(who.get("visitor_id") or who.get("user_id") or "")
    return zlib.crc32(key.encode("utf-8", "replace")) < rate * 2**32


def conversion(
    item_id: str,
    now_ms: int,
    context: RequestContext | None,
    *,
    conversion_type: object,
    user_id: object,
    visitor_id: object,
    event_id: object,
    revenue: object,
    currency: object,
    order_id: object,
    idempotency_key: object,
    properties: Mapping[str, object] | None,
    is_acquisition: object,
    inherit_acquisition: object,
    timestamp: object,
    tied: Mapping[str, object],
) -> dict[str, object]:
    """Return a conversion as an item; its event names somebody, too.

    Raises:
        InvalidEventError: If one of the values cannot be used.
    """
    goal = name(conversion_type, "missing_conversion_type")
    optional = {
        "event_id": text_id(event_id, "invalid_event_id"),
        "revenue": money(revenue),
        "currency": text_id(currency, "invalid_currency"),
        "order_id": text_id(order_id, "invalid_order_id"),
        "idempotency_key": text_id(idempotency_key, "invalid_idempotency_key"),
        "is_acquisition": True if is_acquisition else None,
        "inherit_acquisition": True if inherit_acquisition else None,
        "correlation": correlation(context, **tied),
    }
    known = {key: value for key, value in optional.items() if value is not None}
    needed = "event_id" not in known
    return {
        "type": protocol.CONVERSION,
        "id": item_id,
        "conversion_type": goal,
        **identity(user_id, visitor_id, context, needed=needed),
        "timestamp": when(timestamp, now_ms),
        "properties": with_page(properties, context),
        **known,
    }
