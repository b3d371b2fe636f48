"""The fields of a call, read one by one; what is wrong with each is added to a list."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import cast

from mbuzz import protocol
from mbuzz.server.ingestion.timing import BadTimeError, Moment, Timing

_MAX_FUNNEL = 64  # characters
_MAX_REASON = 500
_MAX_EMAIL = 254
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,128}")
_MAX_NAME = 255  # characters of a property's name

# Values that programs send when they have no id. Source: the lists of PostHog and
# Mixpanel, which found them in the wild.
_NO_IDS = frozenset(
    "null undefined none nil nan true false 0 -1 anonymous guest anon unknown user_id "
    "userid id email distinct_id visitor_id {} not_authenticated "
    "00000000-0000-0000-0000-000000000000".split()
) | {"[object object]"}
_LONGEST_NO_ID = max(map(len, _NO_IDS))


class InvalidError(Exception):
    """An item cannot be taken; each text is one reason."""

    def __init__(self, *errors: str) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


def people(
    item: Mapping[str, object], errors: list[str], *, may_refuse: bool = False
) -> tuple[str | None, str | None]:
    """Return the visitor and the user, of whom there must be one.

    Unless they *may_refuse* to be recognized, and did.
    """
    known = len(errors)
    visitor_id = read_visitor(item, errors)
    user_id = read_id(item, "user_id", errors)
    nobody = visitor_id is None and user_id is None and len(errors) == known
    if nobody and not (may_refuse and "analytics" in read_refused(item)):
        errors.append("visitor_id or user_id is required")
    return visitor_id, user_id


def identified(item: Mapping[str, object]) -> str | None:
    """Return the user whom ``identifier`` names, by e-mail address or otherwise.

    Clients of the field send it with events, for people without a `user_id`.
    """
    given = item.get("identifier")
    if not isinstance(given, dict):
        return None
    known = [given[name] for name in ("email", "user_id") if given.get(name)]
    value = next(iter([*known, *given.values()]), None)
    return read_id({"identifier": value}, "identifier", [])


def visitor_field(item: Mapping[str, object]) -> object:
    """Return the visitor as given; older clients have another name for it."""
    given = item.get("visitor_id")
    return item.get("anonymous_id") if given is None or given == "" else given


def read_visitor(item: Mapping[str, object], errors: list[str]) -> str | None:
    """Return the visitor's id, without the quotes of a cookie."""
    usual = item.get("visitor_id")
    if (
        type(usual) is str
        and len(usual) > _LONGEST_NO_ID
        and "anonymous_id" not in item
        and protocol.WIRE_ID.fullmatch(usual)
    ):
        return usual
    both = item.get("visitor_id"), item.get("anonymous_id")
    if all(both) and len({unquote(str(given)) for given in both}) > 1:
        errors.append("visitor_id and anonymous_id are the same thing, but differ")
        return None
    given = visitor_field(item)
    if given is None or given == "":
        return None
    usable = isinstance(given, str | int) and not isinstance(given, bool)
    text = unquote(str(given)) if usable else ""
    if not protocol.WIRE_ID.fullmatch(text):
        errors.append("visitor_id must be 1 to 255 letters, digits or . _ : -")
        return None
    if len(text) <= _LONGEST_NO_ID and text.lower() in _NO_IDS:
        errors.append("visitor_id is a placeholder, not an id")
        return None
    return text


def unquote(text: str) -> str:
    """Return *text* without spaces and one pair of quotes around it."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def read_id(
    item: Mapping[str, object], name: str, errors: list[str], *, required: bool = False
) -> str | None:
    """Return a user's or group's id; whole numbers count as their digits."""
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


def read_session(item: Mapping[str, object]) -> str | None:
    """Return the client's session; one that is no id is ignored."""
    usual = item.get("session_id")
    if type(usual) is str and protocol.WIRE_ID.fullmatch(usual):
        return usual
    given = read_text(item, "session_id")
    return given if given and protocol.WIRE_ID.fullmatch(given) else None


def read_event_id(item: Mapping[str, object], errors: list[str]) -> str | None:
    """Return the event's own id, its idempotency key."""
    given = item.get("id")
    if given is None:
        given = item.get("event_id")
        if given is None:
            return None
    if not isinstance(given, str) or not _PRINTABLE.fullmatch(given):
        errors.append(
            f"id must be at most {protocol.MAX_EVENT_ID} printable ASCII characters"
        )
        return None
    return given


def read_time(
    item: Mapping[str, object], timing: Timing, errors: list[str], also: str = ""
) -> Moment:
    """Return when it happened."""
    given = item.get("timestamp")
    if also and item.get(also) is not None:
        given = item[also]
    try:
        return timing.resolve(given)
    except BadTimeError as error:
        errors.append(str(error))
        return Moment(timing.received_at_ms, None)


def read_funnel(item: Mapping[str, object], errors: list[str]) -> str | None:
    """Return the label of the funnel that it is a step of."""
    given = item.get("funnel")
    if given is None or given == "":
        return None
    text = storable(given).strip() if isinstance(given, str) else ""
    if not 1 <= len(text) <= _MAX_FUNNEL:
        errors.append(f"funnel must be text of 1 to {_MAX_FUNNEL} characters")
        return None
    return text


def read_reason(item: Mapping[str, object], errors: list[str]) -> str | None:
    """Return why something is taken back, in the sender's words."""
    given = item.get("reason")
    if given is None or given == "":
        return None
    if not isinstance(given, str) or len(given) > _MAX_REASON:
        errors.append(f"reason must be text of at most {_MAX_REASON} characters")
        return None
    return storable(given)


def read_email(item: Mapping[str, object], errors: list[str]) -> str | None:
    """Return the e-mail of the user that ``identifier`` names."""
    given = item.get("identifier")
    if given is None:
        return None
    email = given.get("email") if isinstance(given, dict) else None
    text = storable(email).strip() if isinstance(email, str) else ""
    if "@" not in text or len(text) > _MAX_EMAIL:
        errors.append(
            'identifier must be an object with an e-mail, {"email": "ann@shop.example"}'
        )
        return None
    return text


def read_text(item: Mapping[str, object], name: str) -> str | None:
    """Return an id of any form as text, a long one as its digest."""
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = storable(str(value).strip())
    if len(text) > protocol.MAX_USER_ID:  # cut, two of them could become one
        text = hashlib.sha256(text.encode()).hexdigest()
    return text or None


def read_refused(item: Mapping[str, object]) -> frozenset[str]:
    """Return what the visitor did not agree to: analytics, ads; or sent GPC."""
    refused = {"gpc"} if item.get("gpc") is True else set()
    consent = item.get("consent")
    if isinstance(consent, dict):
        refused |= {name for name in ("analytics", "ads") if consent.get(name) is False}
    return frozenset(refused)


def page_fact(
    item: Mapping[str, object],
    properties: Mapping[str, object],
    name: str,
    *,
    empty: bool = False,
) -> str | None:
    """Return a fact about the page; older clients put it beside the properties."""
    value = properties[name] if name in properties else item.get(name)
    return value if isinstance(value, str) and (value or empty) else None


def read_mapping(
    item: Mapping[str, object], name: str, errors: list[str], warnings: list[str]
) -> Mapping[str, object]:
    """Return the properties or traits, bounded."""
    given = item.get(name)
    if given is None or given == []:  # PHP's JSON has no other way to say {}
        return {}
    if not isinstance(given, dict):
        errors.append(f"{name} must be a hash")
        return {}
    if len(given) > protocol.MAX_PROPERTIES:
        errors.append(f"{name} may have at most {protocol.MAX_PROPERTIES} keys")
        return {}
    if _is_plain(given):
        return given
    try:
        bounded = _Bounds(name)
        clean = bounded.value(given, 1)
    except InvalidError as error:
        errors.extend(error.errors)
        return {}
    if bounded.cut:
        warnings.append(f"{name}: text over {protocol.MAX_STRING} characters was cut")
    if bounded.cut_name:
        warnings.append(f"{name}: a name over {_MAX_NAME} characters was cut")
    return cast("dict[str, object]", clean)


def _is_plain(given: Mapping[str, object]) -> bool:
    """Tell whether a JSON object is flat and can be stored as it is."""
    for name, value in given.items():
        kind = type(value)
        if kind is str:
            if not value.isascii() or len(value) > protocol.MAX_STRING:  # type: ignore[attr-defined, arg-type]
                return False
            if "\0" in value:  # type: ignore[operator]
                return False
        elif kind is float:
            if not math.isfinite(value):  # type: ignore[arg-type]
                return False
        elif kind is not int and kind is not bool and value is not None:
            return False
        if len(name) > _MAX_NAME or not name.isascii() or "\0" in name:
            return False
    return True


class _Bounds:
    """Copies a JSON value, refusing what is too deep and cutting what is too long."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.cut = False
        self.cut_name = False

    def name(self, name: str) -> str:
        if len(name) > _MAX_NAME:
            self.cut_name = True
            name = name[:_MAX_NAME]
        return storable(name)

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
            return {self.name(k): self.value(v, depth + 1) for k, v in value.items()}
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
