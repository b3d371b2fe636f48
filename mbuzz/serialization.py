"""From what the caller said to bytes, once: redacted, bounded, always valid JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import cast
from uuid import UUID

from mbuzz import guard, protocol, redaction
from mbuzz.clock import iso, to_ms

# Bound at import: a host's test that patches json.dumps must not see our calls.
_encode = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False
).encode

_CUT = "...[cut]"
_INT64 = 2**63


class EventTooLargeError(ValueError):
    """The event is over the wire's size even after its strings were cut."""


def encode(item: Mapping[str, object], *, redact: bool = True) -> bytes:
    """Return *item* as one line of JSON, a snapshot that later changes do not reach.

    `properties` and `traits` may hold anything; the other fields are plain already.

    Raises:
        EventTooLargeError: If it is over the wire's limit for one event.
    """
    ready = dict(item)
    for name in ("properties", "traits"):
        if name in ready:
            ready[name] = _Cleaner(redact=redact).mapping(
                cast("Mapping[object, object]", ready[name]), 1
            )
    body = _encode(ready).encode("ascii")
    if len(body) > protocol.MAX_EVENT_BYTES:
        raise EventTooLargeError(f"an event may have {protocol.MAX_EVENT_BYTES} bytes")
    return body


class _Cleaner:
    """Turns any object graph into plain JSON values; one bad value costs itself only.

    Depth and key counts are bounded, so a graph that contains itself ends too.
    """

    __slots__ = ("_redact",)

    def __init__(self, *, redact: bool) -> None:
        self._redact = redact

    def mapping(self, source: Mapping[object, object], depth: int) -> dict[str, object]:
        if depth > protocol.MAX_DEPTH:
            return {}
        clean: dict[str, object] = {}
        for raw_name, value in source.items():
            if len(clean) == protocol.MAX_PROPERTIES:
                break
            name = raw_name if type(raw_name) is str else self._name(raw_name)
            if self._redact and redaction.is_secret_name(name):
                clean[name] = redaction.REDACTED
            else:
                clean[name] = self.value(value, depth + 1)
        return clean

    def _name(self, name: object) -> str:
        return guard.attempt(lambda: str(name), lambda _: "[unreadable]")[:255]

    def value(self, value: object, depth: int) -> object:
        kind = type(value)
        if kind is str:
            return self.text(cast("str", value))
        if value is None or kind is bool:
            return value
        if kind is int:
            number = cast("int", value)
            return number if -_INT64 <= number < _INT64 else self._long(number)
        if kind is float:
            return value if math.isfinite(cast("float", value)) else None
        return guard.attempt(
            lambda: self._other(value, depth),
            lambda _: f"[{kind.__name__}: cannot be encoded]",
        )

    def text(self, text: str) -> str:
        if len(text) > protocol.MAX_STRING:
            text = text[: protocol.MAX_STRING - len(_CUT)] + _CUT
        if self._redact:
            if text.startswith(("http://", "https://")):
                text = redaction.scrub_url(text)
            else:
                text = redaction.scrub_text(text)
        if not text.isascii():  # lone surrogates are no characters
            text = text.encode("utf-8", "replace").decode()
        return text.replace("\0", "") if "\0" in text else text

    def _long(self, number: int) -> str:
        # int-to-str is quadratic and limited by the interpreter; hex is neither
        return str(number) if number.bit_length() < 1024 else hex(number)[:1024]

    def _other(self, value: object, depth: int) -> object:  # noqa: C901
        """Encode what is not plain JSON already; may raise, `value` catches it."""
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, Enum):
            return self.value(value.value, depth + 1) if depth < 50 else None
        if isinstance(value, bool | int | float):
            return self.value(_plain_number(value), depth)
        if isinstance(value, Decimal):
            return str(value) if value.is_finite() else None
        if isinstance(value, datetime):
            return iso(to_ms(value))
        if isinstance(value, date | time):
            return value.isoformat()
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, UUID | PurePath):
            return self.text(str(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes(bytes(value))
        if depth > protocol.MAX_DEPTH:
            return "[too deep]"
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if hasattr(value, "_asdict"):  # a NamedTuple
            return self.mapping(value._asdict(), depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(value, depth)
        return self._object(value, depth)

    def _bytes(self, raw: bytes) -> str:
        try:
            return self.text(raw.decode())
        except UnicodeDecodeError:
            return self.text(base64.b64encode(raw[: protocol.MAX_STRING]).decode())

    def _list(self, values: Iterable[object], depth: int) -> list[object]:
        clean: list[object] = []
        for value in values:
            if len(clean) == protocol.MAX_PROPERTIES:
                break
            clean.append(self.value(value, depth + 1))
        return clean

    def _object(self, value: object, depth: int) -> object:
        """Encode an object by its fields where it has some, else by its text."""
        if is_dataclass(value) and not isinstance(value, type):
            names = [entry.name for entry in fields(value)]
            return self.mapping({n: getattr(value, n) for n in names}, depth)
        for dump in ("model_dump", "dict"):  # pydantic 2 and 1
            method = getattr(value, dump, None)
            if callable(method) and hasattr(type(value), "__fields__"):
                return self.mapping(method(), depth)
        attributes = getattr(type(value), "__attrs_attrs__", None)
        if attributes is not None:
            names = [attribute.name for attribute in attributes]
            return self.mapping({n: getattr(value, n) for n in names}, depth)
        item = getattr(value, "item", None)  # a numpy scalar
        if callable(item) and getattr(value, "shape", None) == ():
            return self.value(item(), depth + 1)
        return self.text(str(value))  # a lazy translation, and whatever else there is


def _plain_number(value: object) -> object:
    """Return a subclass of a number as the number itself."""
    if isinstance(value, bool):
        return bool(value)
    return int(value) if isinstance(value, int) else float(cast("float", value))
