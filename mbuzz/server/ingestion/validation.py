"""What is well-formed: from parsed JSON to calls, or to what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mbuzz import ids, protocol
from mbuzz.server import money
from mbuzz.server.ingestion.fields import (
    InvalidError,
    identified,
    page_fact,
    people,
    read_email,
    read_event_id,
    read_funnel,
    read_id,
    read_mapping,
    read_reason,
    read_refused,
    read_session,
    read_text,
    read_time,
    read_visitor,
    storable,
    visitor_field,
)
from mbuzz.server.ingestion.timing import Timing
from mbuzz.server.model import (
    AliasCall,
    Call,
    ConversionCall,
    GroupCall,
    IdentifyCall,
    RefundCall,
    TrackCall,
)

_NOTHING: frozenset[str] = frozenset()
_CONVERSION_ID = re.compile(r"conv_[A-Za-z0-9]{8,64}")
_CONVERSION_TYPE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")


@dataclass(slots=True)
class Checked:
    """A call that was taken, with what was done to it on the way."""

    call: Call
    warnings: list[str] = field(default_factory=list)


def check_item(item: object, timing: Timing, cookie_visitor: str | None) -> Checked:
    """Return the call that one item of a batch is.

    *cookie_visitor* is the visitor of the request's own cookie, for items without.

    Raises:
        InvalidError: If it is not well-formed.
    """
    if not isinstance(item, dict):
        raise InvalidError("an event must be an object")
    kind = item.get("type", protocol.TRACK)
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        known = ", ".join(sorted(protocol.KINDS))
        raise InvalidError(f"type must be one of {known}")
    if cookie_visitor and not (visitor_field(item) or item.get("user_id")):
        item = {**item, "visitor_id": cookie_visitor}
    warnings: list[str] = []
    return Checked(check(item, timing, warnings), warnings)


def check_track(
    item: Mapping[str, object], timing: Timing, warnings: list[str]
) -> TrackCall:
    """Return an event.

    Raises:
        InvalidError: With every reason why it is none.
    """
    errors: list[str] = []
    given = item.get("event_type")
    if given is None:
        given = item.get("event")
    event_type = storable(given).strip() if isinstance(given, str) else ""
    if not event_type:
        errors.append("event_type is required")
    if "identifier" in item and not item.get("user_id"):
        item = {**item, "user_id": identified(item)}
    visitor_id, user_id = people(item, errors, may_refuse=True)
    properties = read_mapping(item, "properties", errors, warnings)
    if "funnel" in item:
        funnel = read_funnel(item, errors)
        if funnel is not None:
            properties = {"funnel": funnel, **properties}
    moment = read_time(item, timing, errors)
    event_id = read_event_id(item, errors)
    if len(event_type) > protocol.MAX_EVENT_TYPE:
        event_type = event_type[: protocol.MAX_EVENT_TYPE]
        warnings.append(
            f"event_type: text over {protocol.MAX_EVENT_TYPE} characters was cut"
        )
    if errors:
        raise InvalidError(*errors)
    return TrackCall(  # in the order of its fields: by name takes four times as long
        event_id or ids.event_id(timing.received_at_ms),
        event_type,
        visitor_id,
        user_id,
        read_session(item),
        moment.at_ms,
        timing.received_at_ms,
        moment.said_ms,
        page_fact(item, properties, "url"),
        page_fact(item, properties, "referrer"),
        page_fact(item, properties, "user_agent", empty=True),
        properties.get("prefetch") is True,
        properties.get("webdriver") is True,
        item.get("ignore_referrer") is True,
        read_refused(item) if "consent" in item or "gpc" in item else _NOTHING,
        moment.flags,
        properties,
    )


def check_identify(
    item: Mapping[str, object], timing: Timing, warnings: list[str]
) -> IdentifyCall:
    """Return an identify call.

    Raises:
        InvalidError: With every reason why it is none.
    """
    errors: list[str] = []
    user_id = read_id(item, "user_id", errors, required=True)
    visitor_id = read_visitor(item, errors)
    traits = read_mapping(item, "traits", errors, warnings)
    at_ms = read_time(item, timing, errors).at_ms
    if errors or user_id is None:
        raise InvalidError(*errors)
    return IdentifyCall(
        user_id=user_id, visitor_id=visitor_id, traits=traits, at_ms=at_ms
    )


def check_alias(
    item: Mapping[str, object], timing: Timing, _warnings: list[str]
) -> AliasCall:
    """Return an alias call.

    Raises:
        InvalidError: With every reason why it is none.
    """
    errors: list[str] = []
    if item.get("previous_id") in (None, ""):
        # Older clients name a visitor instead; nothing else could be meant.
        item = {**item, "previous_id": read_visitor(item, errors)}
    readable = not errors
    user_id = read_id(item, "user_id", errors, required=True)
    previous_id = read_id(item, "previous_id", errors, required=readable)
    at_ms = read_time(item, timing, errors).at_ms
    if errors or user_id is None or previous_id is None:
        raise InvalidError(*errors)
    return AliasCall(user_id=user_id, previous_id=previous_id, at_ms=at_ms)


def check_group(
    item: Mapping[str, object], timing: Timing, warnings: list[str]
) -> GroupCall:
    """Return a group call; it need not be about anybody in the group.

    Raises:
        InvalidError: With every reason why it is none.
    """
    errors: list[str] = []
    group_id = read_id(item, "group_id", errors, required=True)
    user_id = read_id(item, "user_id", errors)
    visitor_id = read_visitor(item, errors)
    traits = read_mapping(item, "traits", errors, warnings)
    at_ms = read_time(item, timing, errors).at_ms
    if errors or group_id is None:
        raise InvalidError(*errors)
    return GroupCall(
        call_id=read_text(item, "id"),
        group_id=group_id,
        user_id=user_id,
        visitor_id=visitor_id,
        traits=traits,
        at_ms=at_ms,
    )


def check_conversion(
    item: Mapping[str, object], timing: Timing, warnings: list[str]
) -> ConversionCall:
    """Return a conversion; it comes flat or wrapped in ``conversion``.

    Raises:
        InvalidError: With every reason why it is none.
    """
    inner = item.get("conversion")
    if isinstance(inner, dict):
        item = {**item, **inner}
    errors: list[str] = []
    conversion_type = _conversion_type(item, errors)
    event_id = read_text(item, "event_id")
    email = read_email(item, errors)
    if event_id is None and email is None:
        visitor_id, user_id = people(item, errors)
    else:
        visitor_id = read_visitor(item, errors)
        user_id = read_id(item, "user_id", errors)
    flags: set[str] = set()
    currency, revenue_minor = _revenue(item, timing, errors, warnings, flags)
    properties = read_mapping(item, "properties", errors, warnings)
    correlation = read_mapping(item, "correlation", [], [])  # no sale fails for it
    moment = read_time(item, timing, errors, also="converted_at")
    funnel = read_funnel(item, errors)
    if errors:
        raise InvalidError(*errors)
    conversion_id, dedupe_key = _conversion_keys(
        item, conversion_type, properties, timing
    )
    return ConversionCall(
        conversion_id=conversion_id,
        dedupe_key=dedupe_key,
        conversion_type=conversion_type,
        visitor_id=visitor_id,
        user_id=user_id,
        event_id=event_id,
        revenue_minor=revenue_minor,
        currency=currency,
        converted_at_ms=moment.at_ms,
        received_at_ms=timing.received_at_ms,
        is_acquisition=item.get("is_acquisition") is True,
        inherits=item.get("inherit_acquisition") is True,
        email=email,
        funnel=funnel,
        correlation=correlation,
        flags=moment.flags | flags,
        properties=properties,
    )


def _conversion_type(item: Mapping[str, object], errors: list[str]) -> str:
    given = item.get("conversion_type")
    name = given.strip().lower().replace(" ", "_") if isinstance(given, str) else ""
    if not name:
        errors.append("conversion_type is required")
    elif not _CONVERSION_TYPE.fullmatch(name):
        errors.append(
            "conversion_type must be 1 to 64 letters, digits or _ . : -, "
            "and begin with a letter or digit"
        )
    return name


def _conversion_keys(
    item: Mapping[str, object],
    conversion_type: str,
    properties: Mapping[str, object],
    timing: Timing,
) -> tuple[str, str | None]:
    """Return the conversion's id, and what makes a second one a repeat of it."""
    given = read_text(item, "id")
    own = given if given and _CONVERSION_ID.fullmatch(given) else None
    conversion_id = own or ids.conversion_id(timing.received_at_ms)
    key = read_text(item, "idempotency_key")
    if key:
        return conversion_id, f"key:{key}"
    order = (
        read_text(item, "order_id")
        or read_text(properties, "order_id")
        or read_text(properties, "transaction_id")
    )
    if order:
        return conversion_id, f"order:{conversion_type}:{order}"
    return conversion_id, f"id:{given}" if given and not own else None


def _revenue(
    item: Mapping[str, object],
    timing: Timing,
    errors: list[str],
    warnings: list[str],
    flags: set[str],
) -> tuple[str | None, int | None]:
    currency = None
    try:
        if item.get("currency") is not None:
            currency = money.currency_code(item["currency"])
            if not money.is_known(currency):
                warnings.append("unknown_currency")
                flags.add("unknown_currency")
        if item.get("revenue") is None:
            return currency, None
        minor, rounded = money.parse(item["revenue"], currency or timing.currency)
    except ValueError as error:
        errors.append(str(error))
        return currency, None
    if rounded:
        warnings.append("revenue was rounded to the currency's smallest unit")
        flags.add("rounded")
    return currency, minor


def check_refund(
    item: Mapping[str, object], timing: Timing, _warnings: list[str]
) -> RefundCall:
    """Return a refund; the amount is read where the sale's currency is known.

    Raises:
        InvalidError: With every reason why it is none.
    """
    errors: list[str] = []
    refund_id = read_text(item, "refund_id") or read_text(item, "idempotency_key")
    if refund_id is None:
        errors.append("refund_id is required: the refund's own id, such as re_1001")
    amount = item.get("amount")
    if amount is not None and (
        isinstance(amount, bool) or not isinstance(amount, int | float | str)
    ):
        errors.append('amount must be a number or decimal text, such as "99.99"')
    reason = read_reason(item, errors)
    moment = read_time(item, timing, errors, also="refunded_at")
    if errors or refund_id is None:
        raise InvalidError(*errors)
    return RefundCall(
        refund_id=refund_id,
        amount=None if amount is None else str(amount),
        reason=reason,
        refunded_at_ms=moment.at_ms,
        received_at_ms=timing.received_at_ms,
    )


def check_size(item: object) -> None:
    """Refuse an item over the wire's size.

    Raises:
        InvalidError: If it is too large.
    """
    if isinstance(item, dict) and _surely_small(item):
        return
    try:
        text = json.dumps(item, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:  # from some Pythons' json.loads comes more than dumps takes
        raise InvalidError("the item is nested too deeply") from None
    if len(text.encode("utf-8", "surrogatepass")) > protocol.MAX_EVENT_BYTES:
        raise InvalidError(f"an event may have {protocol.MAX_EVENT_BYTES} bytes")


def _surely_small(item: Mapping[str, object]) -> bool:
    """Tell cheaply whether an item is far from the limit; most are."""
    size = 16 * len(item)
    for value in item.values():
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, str):
                    size += 16 + len(name) + len(inner)
                elif isinstance(inner, dict | list) or (
                    isinstance(inner, int) and not -(2**63) <= inner < 2**63
                ):
                    return False
                else:
                    size += 32 + len(name)
        elif isinstance(value, list):
            return False
    # A character may take 6 bytes, an escape; a number of JSON may have many digits.
    return size * 6 <= protocol.MAX_EVENT_BYTES


_CHECKS: Mapping[str, Callable[[Mapping[str, object], Timing, list[str]], Call]] = {
    protocol.TRACK: check_track,
    protocol.IDENTIFY: check_identify,
    protocol.ALIAS: check_alias,
    protocol.GROUP: check_group,
    protocol.CONVERSION: check_conversion,
}
