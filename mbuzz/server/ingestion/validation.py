"""What is well-formed: from parsed JSON to calls, or to what is wrong with it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from mbuzz import ids, protocol
from mbuzz.server import money
from mbuzz.server.ingestion.timing import BadTimeError, Timing
from mbuzz.server.model import (
    AliasCall,
    Call,
    ConversionCall,
    IdentifyCall,
    TrackCall,
)

_CONVERSION_ID = re.compile(r"conv_[A-Za-z0-9]{8,64}")
_CONVERSION_TYPE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}")
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,128}")

# Values that programs send when they have no id. Source: the lists of PostHog and
# Mixpanel, which found them in the wild.
_NO_IDS = frozenset(
    "null undefined none nil nan true false 0 -1 anonymous guest anon unknown user_id "
    "userid id email distinct_id visitor_id {} not_authenticated "
    "00000000-0000-0000-0000-000000000000".split()
) | {"[object object]"}


class InvalidError(Exception):
    """An item cannot be taken; each text is one reason."""

    def __init__(self, *errors: str) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


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
    if cookie_visitor and not (_visitor_field(item) or item.get("user_id")):
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
    given = item.get("event_type", item.get("event"))
    event_type = storable(given).strip() if isinstance(given, str) else ""
    if not event_type:
        errors.append("event_type is required")
    visitor_id, user_id = _people(item, errors)
    properties = _mapping(item, "properties", errors, warnings)
    occurred_at_ms, flags = _time(item, timing, errors)
    event_id = _event_id(item, errors)
    if errors:
        raise InvalidError(*errors)
    return TrackCall(
        event_id=event_id or ids.event_id(timing.received_at_ms),
        event_type=event_type[: protocol.MAX_EVENT_TYPE],
        visitor_id=visitor_id,
        user_id=user_id,
        session_id=_session_id(item),
        occurred_at_ms=occurred_at_ms,
        received_at_ms=timing.received_at_ms,
        url=_page(item, properties, "url"),
        referrer=_page(item, properties, "referrer"),
        user_agent=_page(item, properties, "user_agent", empty=True),
        prefetch=properties.get("prefetch") is True,
        ignore_referrer=item.get("ignore_referrer") is True,
        flags=flags,
        properties=properties,
    )


def check_identify(
    item: Mapping[str, object], timing: Timing, warnings: list[str]
) -> IdentifyCall:
    """Return an identify call.

    Raises:
        InvalidError: With every reason why it is none.
    """
    errors: list[str] = []
    user_id = _user_id(item, "user_id", errors, required=True)
    visitor_id = _visitor_id(item, errors)
    traits = _mapping(item, "traits", errors, warnings)
    at_ms, _ = _time(item, timing, errors)
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
    user_id = _user_id(item, "user_id", errors, required=True)
    previous_id = _user_id(item, "previous_id", errors, required=True)
    at_ms, _ = _time(item, timing, errors)
    if errors or user_id is None or previous_id is None:
        raise InvalidError(*errors)
    return AliasCall(user_id=user_id, previous_id=previous_id, at_ms=at_ms)


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
    event_id = _text(item, "event_id")
    if event_id is None:
        visitor_id, user_id = _people(item, errors)
    else:
        visitor_id = _visitor_id(item, errors)
        user_id = _user_id(item, "user_id", errors)
    currency, revenue_minor = _revenue(item, timing, errors, warnings)
    properties = _mapping(item, "properties", errors, warnings)
    at_ms, _ = _time(item, timing, errors, also="converted_at")
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
        converted_at_ms=at_ms,
        received_at_ms=timing.received_at_ms,
        is_acquisition=item.get("is_acquisition") is True,
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
    given = _text(item, "id")
    own = given if given and _CONVERSION_ID.fullmatch(given) else None
    conversion_id = own or ids.conversion_id(timing.received_at_ms)
    key = _text(item, "idempotency_key")
    if key:
        return conversion_id, f"key:{key}"
    order = (
        _text(item, "order_id")
        or _text(properties, "order_id")
        or _text(properties, "transaction_id")
    )
    if order:
        return conversion_id, f"order:{conversion_type}:{order}"
    return conversion_id, f"id:{given}" if given and not own else None


def _revenue(
    item: Mapping[str, object],
    timing: Timing,
    errors: list[str],
    warnings: list[str],
) -> tuple[str | None, int | None]:
    currency = None
    try:
        if item.get("currency") is not None:
            currency = money.currency_code(item["currency"])
        if item.get("revenue") is None:
            return currency, None
        minor, rounded = money.parse(item["revenue"], currency or timing.currency)
    except ValueError as error:
        errors.append(str(error))
        return currency, None
    if rounded:
        warnings.append("revenue was rounded to the currency's smallest unit")
    return currency, minor


def _people(
    item: Mapping[str, object], errors: list[str]
) -> tuple[str | None, str | None]:
    known = len(errors)
    visitor_id = _visitor_id(item, errors)
    user_id = _user_id(item, "user_id", errors)
    if visitor_id is None and user_id is None and len(errors) == known:
        errors.append("visitor_id or user_id is required")
    return visitor_id, user_id


def _visitor_field(item: Mapping[str, object]) -> object:
    return item.get("visitor_id") or item.get("anonymous_id")


def _visitor_id(item: Mapping[str, object], errors: list[str]) -> str | None:
    both = item.get("visitor_id"), item.get("anonymous_id")
    if all(both) and both[0] != both[1]:
        errors.append("visitor_id and anonymous_id are the same thing, but differ")
        return None
    given = _visitor_field(item)
    if given is None or given == "":
        return None
    usable = isinstance(given, str | int) and not isinstance(given, bool)
    text = unquote(str(given)) if usable else ""
    if not protocol.WIRE_ID.fullmatch(text):
        errors.append("visitor_id must be 1 to 255 letters, digits or . _ : -")
        return None
    return text


def unquote(text: str) -> str:
    """Return *text* without spaces and one pair of quotes around it."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def _user_id(
    item: Mapping[str, object], name: str, errors: list[str], *, required: bool = False
) -> str | None:
    given = item.get(name)
    if given is None or given == "":
        if required:
            errors.append(f"{name} is required")
        return None
    if isinstance(given, bool) or not isinstance(given, str | int):
        errors.append(f"{name} must be text or a whole number")
        return None
    text = str(given).strip()
    if not text or text.lower() in _NO_IDS:
        errors.append(f"illegal_user_id: {name} is a placeholder, not an id")
        return None
    if len(text) > protocol.MAX_USER_ID or storable(text) != text:
        errors.append(f"{name} must be at most {protocol.MAX_USER_ID} characters")
        return None
    return text


def _session_id(item: Mapping[str, object]) -> str | None:
    given = _text(item, "session_id")
    return given if given and protocol.WIRE_ID.fullmatch(given) else None


def _event_id(item: Mapping[str, object], errors: list[str]) -> str | None:
    given = item.get("id", item.get("event_id"))
    if given is None:
        return None
    if not isinstance(given, str) or not _PRINTABLE.fullmatch(given):
        errors.append(
            f"id must be at most {protocol.MAX_EVENT_ID} printable ASCII characters"
        )
        return None
    return given


def _time(
    item: Mapping[str, object], timing: Timing, errors: list[str], also: str = ""
) -> tuple[int, frozenset[str]]:
    given = item.get("timestamp")
    if also and item.get(also) is not None:
        given = item[also]
    try:
        return timing.resolve(given)
    except BadTimeError as error:
        errors.append(str(error))
        return timing.received_at_ms, frozenset()


def _text(item: Mapping[str, object], name: str) -> str | None:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = storable(str(value).strip())
    if len(text) > protocol.MAX_USER_ID:  # cut, two of them could become one
        text = hashlib.sha256(text.encode()).hexdigest()
    return text or None


def _page(
    item: Mapping[str, object],
    properties: Mapping[str, object],
    name: str,
    *,
    empty: bool = False,
) -> str | None:
    """Return a fact about the page; older clients put it beside the properties."""
    value = properties.get(name, item.get(name))
    if not isinstance(value, str):
        return None
    return value if value or empty else None


def _mapping(
    item: Mapping[str, object], name: str, errors: list[str], warnings: list[str]
) -> Mapping[str, object]:
    """Return the properties or traits, bounded."""
    given = item.get(name)
    if given is None:
        return {}
    if not isinstance(given, dict):
        errors.append(f"{name} must be a hash")
        return {}
    if len(given) > protocol.MAX_PROPERTIES:
        errors.append(f"{name} may have at most {protocol.MAX_PROPERTIES} keys")
        return {}
    try:
        bounded = _Bounds(name)
        clean = bounded.value(given, 1)
    except InvalidError as error:
        errors.extend(error.errors)
        return {}
    if bounded.cut:
        warnings.append(f"{name}: text over {protocol.MAX_STRING} characters was cut")
    return cast("dict[str, object]", clean)


class _Bounds:
    """Copies a JSON value, refusing what is too deep and cutting what is too long."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.cut = False

    def value(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            if len(value) > protocol.MAX_STRING:
                self.cut = True
                value = value[: protocol.MAX_STRING]
            return storable(value)
        if isinstance(value, dict | list) and depth > protocol.MAX_DEPTH:
            raise InvalidError(
                f"{self._name} may be nested {protocol.MAX_DEPTH} levels deep"
            )
        if isinstance(value, dict):
            return {
                storable(k)[:255]: self.value(v, depth + 1) for k, v in value.items()
            }
        if isinstance(value, list):
            return [self.value(v, depth + 1) for v in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None  # 1e999 is JSON, and what it becomes is not
        return value


def storable(text: str) -> str:
    """Return *text* without what databases cannot keep: NUL and lone surrogates."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "") if "\0" in text else text


def check_size(item: object) -> None:
    """Refuse an item over the wire's size.

    Raises:
        InvalidError: If it is too large.
    """
    try:
        text = json.dumps(item, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:  # from some Pythons' json.loads comes more than dumps takes
        raise InvalidError("the item is nested too deeply") from None
    if len(text.encode("utf-8", "surrogatepass")) > protocol.MAX_EVENT_BYTES:
        raise InvalidError(f"an event may have {protocol.MAX_EVENT_BYTES} bytes")


_CHECKS: Mapping[str, Callable[[Mapping[str, object], Timing, list[str]], Call]] = {
    protocol.TRACK: check_track,
    protocol.IDENTIFY: check_identify,
    protocol.ALIAS: check_alias,
    protocol.CONVERSION: check_conversion,
}
