"""How each kind of object becomes plain JSON; kinds are told by what they inherit."""

from __future__ import annotations

import sys
from collections import UserString, deque
from collections.abc import Mapping, MappingView, Sequence, Set
from enum import Enum
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType

from mbuzz import protocol
from mbuzz.clock import iso, to_ms
from mbuzz.redaction import REDACTED
from mbuzz.wire_text import TOO_DEEP, shortened, unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime, time, timedelta
    from typing import Any, TypeAlias

    from mbuzz.plain import Cleaner

    # cleaner, value, depth, what the value's name says of it
    Encode: TypeAlias = Callable[[Cleaner, Any, int, int], object]

_DEEPEST_ENUM = 50
_MOST_KINDS = 512  # types whose way is remembered
_YEARS = range(-62_135_596_800_000, 253_402_300_800_000)  # 1 to 9999, in ms

_ways: dict[type, Encode] = {}


def way(value: object) -> Encode:
    """Return the function that encodes values like this one."""
    kind = type(value)
    found = _ways.get(kind)
    if found is not None:
        return found
    claimed = value.__class__  # a lazy object has that of what it stands for
    if claimed is not kind:
        return _choose(claimed)
    if len(_ways) >= _MOST_KINDS:
        _ways.clear()
    found = _ways[kind] = _choose(kind)
    return found


def _choose(kind: type) -> Encode:  # noqa: C901
    for base, encode in _BY_BASE:
        if issubclass(kind, base):
            return encode
    for module, name, encode in _BY_NAME:
        # What nobody imported nobody has: no import of ours makes it so.
        found = getattr(sys.modules.get(module), name, None)
        if found is not None and issubclass(kind, found):
            return encode
    if hasattr(kind, "_asdict"):
        return _named_tuple
    if issubclass(kind, Mapping):
        return _mapping
    for base, encode in _BY_ABC:
        if issubclass(kind, base):
            return encode
    for field, encode in _BY_FIELD:
        if hasattr(kind, field):
            return encode
    if hasattr(kind, "item") and hasattr(kind, "shape"):
        return _array
    return _str


def _str(cleaner: Cleaner, value: object, depth: int, about: int) -> object:
    del depth
    text = str.__str__(str(value))
    if text[:1] == "<" and " at 0x" in text[:500]:  # its place in memory says nothing
        text = unreadable(type(value).__name__)
    return cleaner.text(text, about)


def _enum(cleaner: Cleaner, value: Enum, depth: int, about: int) -> object:
    if depth > _DEEPEST_ENUM:
        return TOO_DEEP
    return cleaner.value(value.value, depth + 1, about)


def _subclass(plain: type) -> Encode:
    """Return the way of a subclass of *plain*, whatever its methods say."""
    read = {str: str.__str__, int: int.__int__, float: float.__float__}[plain]

    def encode(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
        return cleaner.value(read(value), depth, about)

    return encode


def _datetime(cleaner: Cleaner, value: datetime, depth: int, about: int) -> object:
    del cleaner, depth, about
    ms = to_ms(value)
    if ms not in _YEARS:
        raise OverflowError
    return iso(ms)


def _iso(cleaner: Cleaner, value: date | time, depth: int, about: int) -> object:
    del cleaner, depth, about
    return value.isoformat()


def _seconds(cleaner: Cleaner, value: timedelta, depth: int, about: int) -> object:
    del cleaner, depth, about
    return value.total_seconds()


def _decimal(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    del depth
    if not value.is_finite():
        return None
    text = str(value)
    whole = text.partition(".")[0]
    if 12 < len(whole) < 24 and cleaner.value(int(value), 0, about) == REDACTED:
        return REDACTED
    return shortened(text, protocol.MAX_STRING)


def _bytes(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    del depth
    import codecs

    most = 2 * protocol.MAX_STRING
    raw = bytes(value[:most])
    try:
        # Not final where it was cut: that may be inside a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(raw, len(value) <= most)
    except UnicodeDecodeError:
        import binascii

        text = binascii.b2a_base64(raw[: protocol.MAX_STRING], newline=False).decode()
    return cleaner.text(text, about)


def _mapping(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    if depth > protocol.MAX_DEPTH:
        return TOO_DEEP
    return cleaner.mapping(value.copy() if type(value) is dict else value, depth, about)


def _named_tuple(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    return _mapping(cleaner, value._asdict(), depth, about)


def _list(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    return cleaner.items(value, depth, about)


def _set(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    clean = cleaner.items(value, depth, about)
    return sorted(clean, key=str) if type(clean) is list else clean


def _array(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    if value.shape == ():  # a numpy scalar, or an array of one
        return cleaner.value(value.item(), depth + 1, about)
    return cleaner.items(value, depth, about)


def _dataclass(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    return cleaner.fields(value, list(value.__dataclass_fields__), depth, about)


def _attrs(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    names = [attribute.name for attribute in value.__attrs_attrs__]
    return cleaner.fields(value, names, depth, about)


def _pydantic(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    dump = getattr(value, "model_dump", None) or value.dict  # versions 2 and 1
    return _mapping(cleaner, dump(), depth, about)


def _named(cleaner: Cleaner, value: Any, depth: int, about: int) -> object:
    """Encode a class, function or module by its name."""
    del depth
    name = getattr(value, "__qualname__", None) or value.__name__
    return cleaner.text(str.__str__(name), about)


def _error(cleaner: Cleaner, value: BaseException, depth: int, about: int) -> object:
    del depth
    return cleaner.text(f"{type(value).__name__}: {value}", about)


_BY_BASE: tuple[tuple[type, Encode], ...] = (
    (Enum, _enum),
    (str, _subclass(str)),
    (int, _subclass(int)),
    (float, _subclass(float)),
    (bytes, _bytes),
    (bytearray, _bytes),
    (memoryview, _bytes),
    (BaseException, _error),
    (type, _named),
    (FunctionType, _named),
    (BuiltinFunctionType, _named),
    (MethodType, _named),
    (type(sys), _named),
    (UserString, _str),
)
_BY_NAME: tuple[tuple[str, str, Encode], ...] = (
    ("datetime", "datetime", _datetime),
    ("datetime", "date", _iso),
    ("datetime", "time", _iso),
    ("datetime", "timedelta", _seconds),
    ("decimal", "Decimal", _decimal),
    ("uuid", "UUID", _str),
    ("pathlib", "PurePath", _str),
)
# Not by the methods it has: a lazy translation has those of a collection.
_BY_ABC: tuple[tuple[type, Encode], ...] = (
    (Set, _set),
    (Sequence, _list),
    (MappingView, _list),
    (deque, _list),
    (GeneratorType, _list),
    (map, _list),
    (filter, _list),
    (zip, _list),
)
_BY_FIELD: tuple[tuple[str, Encode], ...] = (
    ("__dataclass_fields__", _dataclass),
    ("model_fields", _pydantic),
    ("__fields__", _pydantic),
    ("__attrs_attrs__", _attrs),
)
