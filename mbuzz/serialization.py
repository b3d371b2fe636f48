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
from itertools import islice
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
_LONGEST_NAME = 255
_URL_BEGINS = ("http://", "https://", "/")
_MOST_TEXT = 4 * protocol.MAX_EVENT_BYTES  # characters looked at, for one event


class EventTooLargeError(ValueError):
    """The event is over the wire's size even after its strings were cut."""


def encode(item: Mapping[str, object], *, redact: bool = True) -> bytes:
    """Return *item* as one line of JSON, a snapshot that later changes do not reach.

    `properties` and `traits` may hold anything; the other fields are plain already,
    but for characters that no text may have.

    Raises:
        EventTooLargeError: If it is over the wire's limit for one event.
    """
    ready = {
        name: storable(value) if type(value) is str else value
        for name, value in item.items()
    }
    for name in ("properties", "traits"):
        if name in ready:
            ready[name] = _Cleaner(redact=redact).mapping(
                cast("Mapping[object, object]", ready[name]), 1
            )
    body = _encode(ready).encode("ascii")
    if len(body) > protocol.MAX_EVENT_BYTES:
        raise EventTooLargeError(f"an event may have {protocol.MAX_EVENT_BYTES} bytes")
    return body


def storable(text: str) -> str:
    """Return *text* without what databases cannot keep: NUL and lone surrogates."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "") if "\0" in text else text


class _Cleaner:
    """Turns any object graph into plain JSON values; one bad value costs itself only.

    Depth, key counts and the work for one event are bounded, so a graph that contains
    itself ends too, and soon.
    """

    __slots__ = ("_redact", "_room")

    def __init__(self, *, redact: bool) -> None:
        self._redact = redact
        self._room = _MOST_TEXT

    def mapping(self, source: Mapping[object, object], depth: int) -> dict[str, object]:
        clean: dict[str, object] = {}
        for raw_name, value in islice(source.items(), protocol.MAX_PROPERTIES):
            if self._room < 0:  # far over the limit of an event: it will be refused
                break
            name, secret = self._name(raw_name)
            clean[name] = redaction.REDACTED if secret else self.value(value, depth + 1)
        return clean

    def _name(self, raw: object) -> tuple[str, bool]:
        """Return a key as text, and whether it names a secret."""
        if type(raw) is str:
            name = raw
        else:
            name = guard.attempt(lambda: str(raw), lambda _: "[unreadable]")
        secret = self._redact and _is_secret(name)
        name = name[:_LONGEST_NAME]
        self._room -= len(name) + 4  # quotes, colon and comma
        return storable(name), secret

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
        # Redacted before it is cut: half a secret does not look like one.
        text = text[: 2 * protocol.MAX_STRING]
        self._room -= len(text)
        if self._redact:
            if text[:8].lower().startswith(_URL_BEGINS):
                text = redaction.scrub_url(text)
            else:
                text = redaction.scrub_text(text)
        return storable(self._cut(text))

    def _cut(self, text: str) -> str:
        if len(text) <= protocol.MAX_STRING:
            return text
        return text[: protocol.MAX_STRING - len(_CUT)] + _CUT

    def _long(self, number: int) -> str:
        # int-to-str is quadratic and limited by the interpreter; hex is neither
        return str(number) if number.bit_length() < 1024 else hex(number)[:1024]

    def _other(self, value: object, depth: int) -> object:  # noqa: C901
        """Encode what is not plain JSON already; may raise, `value` catches it."""
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, Enum):
            return self.value(value.value, depth + 1) if depth < 50 else None
        if isinstance(value, int | float):
            return self.value(_plain_number(value), depth)
        if isinstance(value, Decimal):
            return self._cut(str(value)) if value.is_finite() else None
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
        for value in islice(values, protocol.MAX_PROPERTIES):
            if self._room < 0:
                break
            self._room -= 2
            clean.append(self.value(value, depth + 1))
        return clean

    def _object(self, value: object, depth: int) -> object:
        """Encode an object by its fields where it has some, else by its text."""
        if is_dataclass(value) and not isinstance(value, type):
            names = [entry.name for entry in fields(value)]
            return self.mapping({n: getattr(value, n) for n in names}, depth)
        for dump, declared in (("model_dump", "model_fields"), ("dict", "__fields__")):
            method = getattr(value, dump, None)  # pydantic 2 and 1
            if callable(method) and hasattr(type(value), declared):
                return self.mapping(method(), depth)
        attributes = getattr(type(value), "__attrs_attrs__", None)
        if attributes is not None:
            names = [attribute.name for attribute in attributes]
            return self.mapping({n: getattr(value, n) for n in names}, depth)
        item = getattr(value, "item", None)  # a numpy scalar
        if callable(item) and getattr(value, "shape", None) == ():
            return self.value(item(), depth + 1)
        return self.text(str(value))  # a lazy translation, and whatever else there is


def _is_secret(name: str) -> bool:
    if len(name) > _LONGEST_NAME:  # too long to be remembered
        return redaction.is_secret_name.__wrapped__(name)
    return redaction.is_secret_name(name)


def _plain_number(value: object) -> object:
    """Return a subclass of a number as the number itself."""
    return int(value) if isinstance(value, int) else float(cast("float", value))
