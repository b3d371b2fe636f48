"""From what the caller said to bytes, once: redacted, bounded, always valid JSON."""

from __future__ import annotations

import json
from json import encoder as _json

from mbuzz import protocol
from mbuzz.secret_names import EMAIL, OPEN, NameRules
from mbuzz.suspicion import Suspicion
from mbuzz.wire_text import shortened, storable

TYPE_CHECKING = False  # `typing` itself would cost more than all of this module
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from mbuzz.redaction import Redactor

__all__ = ["Encoder", "EventTooLargeError", "encode", "storable"]

# Bound at import: a host's test that patches json.dumps must not see our calls.
_encode = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False
).encode
_literal = _json.encode_basestring_ascii

_ENVELOPE = 2_048  # bytes of an event left for what is beside its properties
_MOST_FAST = 4_096  # characters of a mapping that takes the fast path
_CARDS_FROM = 22 * 10**11  # no card's number is smaller, and times in ms are
_MOST_SHAPES = 512
_MOST_TEXTS = 300  # of a graph that takes the fast path
_LONGEST_SHAPE = 2_000  # characters
_LONGEST_NAME = 255
_SHORTEST = 32  # characters that no string is cut below


class EventTooLargeError(ValueError):
    """The event is over the wire's size even after its strings were cut."""


def _chunks_of() -> Callable[[Mapping[str, object], int], Iterable[str]]:
    """Return what encodes a flat dict into parts without what `JSONEncoder` adds.

    That is a third of the time of a small event.
    """
    make = getattr(_json, "c_make_encoder", None)
    if make is None:
        return lambda source, _: (_encode(source),)
    made: Callable[[Mapping[str, object], int], Iterable[str]] = make(
        *(None, None, _literal, None, ":", ",", False, False, False)
    )
    return made


_chunks = _chunks_of()


class Encoder:
    """Encodes events under one configuration of what is redacted; thread-safe.

    *pii* is ``strict``, ``standard`` or ``off``. *redact_keys* are words or whole
    names of properties, *redact_patterns* regular expressions for parts of texts,
    *allow_keys* names that are no secrets.

    Raises:
        re.error: If one of *redact_patterns* is no regular expression.
    """

    __slots__ = ("_redactor", "_shapes", "_suspicion", "_trait_shapes")

    def __init__(
        self,
        *,
        pii: str = "standard",
        redact_keys: tuple[str, ...] = (),
        redact_patterns: tuple[str, ...] = (),
        allow_keys: tuple[str, ...] = (),
    ) -> None:
        strict = pii == "strict"
        names = NameRules(strict=strict, redact_keys=redact_keys, allow_keys=allow_keys)
        suspicion = Suspicion(names, strict=strict, patterns=redact_patterns)
        self._suspicion = None if pii == "off" else suspicion
        self._redactor: Redactor | None = None  # made when there is something to see
        # Names of properties, joined: how many there are, or -1 for unfit.
        self._shapes: dict[str, int] = {}
        self._trait_shapes: dict[str, int] = {}

    def mapping(
        self,
        source: Mapping[str, object],
        *,
        room: int = protocol.MAX_EVENT_BYTES - _ENVELOPE,
    ) -> str:
        """Return properties as JSON in ASCII, at most *room* bytes of it.

        Raises:
            EventTooLargeError: If it has more even with its longest strings cut.
        """
        if type(source) is dict:
            text = self._fast(source, self._shapes)
            if text is not None and len(text) <= room:
                return text
        return self._slow(source, room, traits=False)

    def traits(
        self,
        source: Mapping[str, object],
        *,
        room: int = protocol.MAX_EVENT_BYTES - _ENVELOPE,
    ) -> str:
        """Return traits like properties, but for names and e-mail addresses.

        Those are kept, in strict mode too: they were given on purpose.

        Raises:
            EventTooLargeError: If it has more than *room* bytes.
        """
        if type(source) is dict:
            text = self._fast(source, self._trait_shapes)
            if text is not None and len(text) <= room:
                return text
        return self._slow(source, room, traits=True)

    def text(self, value: str) -> str:
        """Return a plain field, such as an id, as the literal of a JSON string."""
        if not value.isascii() or "\0" in value:
            value = storable(value)
        return _literal(value)

    def item(self, item: Mapping[str, object]) -> bytes:
        """Return a whole event as one line of JSON, a snapshot of it.

        `properties` and `traits` may hold anything; the other fields are left as they
        are, but for characters that no text may have.

        Raises:
            EventTooLargeError: If it is over the wire's limit for one event.
        """
        from mbuzz.plain import Cleaner

        around = Cleaner(None)
        payloads = {"properties": self.mapping, "traits": self.traits}
        parts = {
            name: _encode(around.value(value, 1, OPEN))
            for name, value in item.items()
            if name not in payloads
        }
        room = protocol.MAX_EVENT_BYTES - 1  # braces, and commas less one
        room -= sum(len(name) + len(part) + 4 for name, part in parts.items())
        given: list[str] = [name for name in payloads if name in item]
        for left, name in enumerate(given):
            room -= len(name) + 4
            share = room if left == len(given) - 1 else room // 2
            source: Any = item[name]
            parts[name] = payloads[name](source, room=share)
            room -= len(parts[name])
        body = ",".join(f"{_literal(name)}:{parts[name]}" for name in item)
        if len(body) + 2 > protocol.MAX_EVENT_BYTES:
            raise _too_large()
        return f"{{{body}}}".encode("ascii")

    def _fast(self, source: dict[Any, Any], shapes: dict[str, int]) -> str | None:
        """Return innocent dicts and lists as JSON; None means that it needs a look.

        The names are checked once for every set of them, the values with searches
        that only C sees, and all of it is encoded in one go.
        """
        source = source.copy()  # another thread may change it between look and use
        texts = [""]
        if not self._gather(source, texts, shapes, 1):
            return None
        text = "\n".join(texts)
        if len(text) > _MOST_FAST or "\0" in text:
            return None
        if not text.isascii() and storable(text) != text:
            return None
        suspicion = self._suspicion
        if suspicion is not None:
            if suspicion.of(text, emails=shapes is self._trait_shapes):
                return None
            if suspicion.patterns and suspicion.matches(texts[1:]):
                return None
        return "".join(_chunks(source, 0))

    def _gather(  # noqa: C901
        self,
        source: dict[Any, Any] | list[Any],
        texts: list[str],
        shapes: dict[str, int],
        depth: int,
    ) -> bool:
        """Collect the texts of a copy and copy what is in it; False if unfit."""
        values: Iterable[Any] = source
        if type(source) is dict:
            try:
                shape = "\0".join(source)
            except TypeError:
                return False
            # With the count, no name that has a NUL can be taken for two.
            if shapes.get(shape) != len(source) and not self._learn(
                shape, source, shapes
            ):
                return False
            values = source.values()
        elif len(source) > protocol.MAX_PROPERTIES:
            return False
        flat = True
        for value in values:
            kind = type(value)
            if kind is str:
                texts.append(value)
            elif kind is int or kind is float:
                if not -_CARDS_FROM < value < _CARDS_FROM:  # NaN is not, either
                    return False
            elif kind is dict or kind is list:
                flat = False
            elif kind is not bool and value is not None:
                return False
        return flat or (
            depth < protocol.MAX_DEPTH
            and len(texts) < _MOST_TEXTS
            and self._gather_inner(source, texts, shapes, depth + 1)
        )

    def _gather_inner(
        self,
        source: dict[Any, Any] | list[Any],
        texts: list[str],
        shapes: dict[str, int],
        depth: int,
    ) -> bool:
        entries = source.items() if type(source) is dict else enumerate(source)
        for place, value in entries:
            if type(value) is dict or type(value) is list:
                inner = source[place] = value.copy()
                texts.append("")  # counts for what has no text itself
                if not self._gather(inner, texts, shapes, depth):
                    return False
        return True

    def _learn(
        self, shape: str, source: dict[Any, Any], shapes: dict[str, int]
    ) -> bool:
        """Remember whether these names all are innocent, and return it."""
        if shape in shapes or len(shape) > _LONGEST_SHAPE:
            return False
        if len(shapes) >= _MOST_SHAPES:
            shapes.clear()
        traits = shapes is self._trait_shapes
        fit = len(source) <= protocol.MAX_PROPERTIES and all(
            self._is_innocent(name, traits=traits) for name in source
        )
        shapes[shape] = len(source) if fit else -1
        return fit

    def _is_innocent(self, name: object, *, traits: bool) -> bool:
        if type(name) is not str or len(name) > _LONGEST_NAME or storable(name) != name:
            return False
        suspicion = self._suspicion
        if suspicion is None:
            return True
        # An e-mail address, where its name asks for one, is seen by its look.
        return (
            suspicion.names.kind(name, traits=traits) in (OPEN, EMAIL)
            and not suspicion.of(f"\n{name}")
            and not suspicion.matches([name])
        )

    def _slow(self, source: Mapping[Any, object], room: int, *, traits: bool) -> str:
        from mbuzz.plain import Cleaner

        if self._redactor is None and self._suspicion is not None:
            from mbuzz.redaction import Redactor

            self._redactor = Redactor(self._suspicion)
        cleaner = Cleaner(self._redactor, traits=traits)
        clean = cleaner.properties(source)
        if cleaner.full:
            raise _too_large()
        text = _encode(clean)
        return text if len(text) <= room else _fitted(clean, room)


def _fitted(clean: dict[str, object], room: int) -> str:
    """Return *clean* as JSON with its longest strings cut until it fits."""
    text = _encode(_cut(clean, _SHORTEST))
    if len(text) > room:
        raise _too_large()
    fits, too_long = _SHORTEST, protocol.MAX_STRING
    while too_long - fits > _SHORTEST:
        most = (fits + too_long) // 2
        tried = _encode(_cut(clean, most))
        if len(tried) <= room:
            fits, text = most, tried
        else:
            too_long = most
    return text


def _cut(value: object, most: int) -> object:
    """Return plain JSON with no string over *most* characters."""
    if type(value) is str:
        return shortened(value, most)
    if type(value) is dict:
        return {name: _cut(entry, most) for name, entry in value.items()}
    if type(value) is list:
        return [_cut(entry, most) for entry in value]
    return value


def _too_large() -> EventTooLargeError:
    return EventTooLargeError(f"an event may have {protocol.MAX_EVENT_BYTES} bytes")


_encoders: dict[bool, Encoder] = {}


def encode(item: Mapping[str, object], *, redact: bool = True) -> bytes:
    """Return *item* as `Encoder.item` does, with the standard redaction or none.

    Raises:
        EventTooLargeError: If it is over the wire's limit for one event.
    """
    encoder = _encoders.get(redact)
    if encoder is None:
        pii = "standard" if redact else "off"
        encoder = _encoders[redact] = Encoder(pii=pii)
    return encoder.item(item)
