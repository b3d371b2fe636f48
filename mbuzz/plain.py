"""Any object graph as plain JSON values: bounded, and one bad value costs itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice

from mbuzz import guard, protocol, redaction
from mbuzz.object_kinds import way
from mbuzz.secret_names import ADDRESS, EMAIL, OPEN, SECRET
from mbuzz.wire_text import TOO_DEEP, shortened, storable, unreadable

TYPE_CHECKING = False  # `typing` itself would cost more than all of this module
if TYPE_CHECKING:
    from typing import Any

_INT64 = 2**63
_CARDS_FROM = 10**12  # 13 digits
_LONGEST_NAME = 255
_MOST_TEXT = 4 * protocol.MAX_EVENT_BYTES  # characters looked at in full, for one event
_SHORTEST = 32  # characters that no string is cut below
_LATE_TEXT = 256  # characters kept of a string after that


class Cleaner:
    """Turns one object graph into plain JSON values.

    Depth, key counts and the work are bounded, so a graph that contains itself ends
    too, and soon. `full` says that not even its shape fits into an event.
    """

    __slots__ = ("_emails", "_left", "_redactor", "_text_left", "_traits")

    def __init__(
        self, redactor: redaction.Redactor | None, *, traits: bool = False
    ) -> None:
        self._redactor = redactor
        self._traits = traits
        self._left = protocol.MAX_EVENT_BYTES  # after what cannot be cut away
        self._text_left = _MOST_TEXT

    @property
    def full(self) -> bool:
        """Tell whether the graph is too large whatever its strings are cut to."""
        return self._left < 0

    def properties(self, source: Mapping[Any, object]) -> dict[str, object]:
        """Return *source* as plain JSON; one that cannot be read is marked."""
        return guard.attempt(
            lambda: self.mapping(
                source.copy() if type(source) is dict else source, 1, OPEN
            ),
            lambda _: {"unreadable": True},
        )

    def mapping(
        self, source: Mapping[Any, object], depth: int, about: int
    ) -> dict[str, object]:
        """Return *source* as plain JSON; *about* is what its own name says of it."""
        return self._entries(source.items(), depth, about)

    def _entries(
        self, entries: Iterable[tuple[Any, object]], depth: int, about: int
    ) -> dict[str, object]:
        clean: dict[str, object] = {}
        for raw, value in islice(entries, protocol.MAX_PROPERTIES):
            if self._left < 0:
                break
            name, kind = self._name(raw)
            if kind == SECRET:
                self._left -= len(redaction.REDACTED) + 2
                clean[name] = redaction.REDACTED
            else:
                clean[name] = self.value(value, depth + 1, kind or about)
        return clean

    def _name(self, raw: object) -> tuple[str, int]:
        """Return a key as text, and what it says of its value."""
        if type(raw) is str:
            name = raw
        else:
            name = guard.attempt(lambda: str(raw), lambda _: "[unreadable]")
        if len(name) > 2 * protocol.MAX_STRING:
            name = f"{name[: protocol.MAX_STRING]} {name[-protocol.MAX_STRING :]}"
        name = storable(name)
        kind = OPEN
        if self._redactor is not None:
            kind = self._redactor.names.kind(name, traits=self._traits)
            name = self._redactor.scrub(name[: 4 * _LONGEST_NAME])
        name = name[:_LONGEST_NAME]
        self._left -= len(name) + 4  # quotes, colon and comma
        return name, kind

    def value(self, value: object, depth: int, about: int) -> object:
        """Return *value* as plain JSON, or a mark where it cannot be encoded."""
        kind = type(value)
        if kind is str:
            return self.text(value, about)  # type: ignore[arg-type]
        self._left -= 2
        if value is None or kind is bool:
            return value
        if kind is int:
            return self._whole(value)  # type: ignore[arg-type]
        if kind is float:
            return self._real(value)  # type: ignore[arg-type]
        return guard.attempt(
            lambda: way(value)(self, value, depth, about),
            lambda _: unreadable(type.__getattribute__(kind, "__name__")),
        )

    def text(self, text: str, about: int = OPEN) -> str:
        """Return *text* storable, redacted and cut."""
        # Redacted before it is cut: half a secret does not look like one.
        late = self._text_left < 0
        most = _LATE_TEXT if late else protocol.MAX_STRING
        text = storable(text[: (8 if late else 2) * most])
        self._text_left -= len(text)
        if self._redactor is not None:
            text = self._redactor.scrub(text, emails=self._traits or about == EMAIL)
            if about == ADDRESS:
                from mbuzz import personal_data

                text = personal_data.shorten_addresses(text)
        text = shortened(text, most)
        self._left -= min(len(text), _SHORTEST) + 2
        return text

    def _whole(self, number: int) -> object:
        if self._redactor is not None and abs(number) >= _CARDS_FROM:
            from mbuzz import card_numbers

            if card_numbers.is_card(number):
                return redaction.REDACTED
        if -_INT64 <= number < _INT64:
            return number
        # int-to-str is quadratic and limited by the interpreter; hex is neither
        return str(number) if number.bit_length() < 1024 else hex(number)[:1024]

    def _real(self, number: float) -> object:
        if not math.isfinite(number):
            return None
        if abs(number) >= 10**12 and number.is_integer():
            whole = self._whole(int(number))
            return number if type(whole) is not str or abs(number) > 2**53 else whole
        return number

    def items(self, values: Iterable[object], depth: int, about: int) -> object:
        """Return the first of *values* as plain JSON."""
        if depth > protocol.MAX_DEPTH:
            return TOO_DEEP
        clean: list[object] = []
        for value in islice(values, protocol.MAX_PROPERTIES):
            if self._left < 0:
                break
            clean.append(self.value(value, depth + 1, about))
        return clean

    def fields(
        self, value: object, names: Iterable[str], depth: int, about: int
    ) -> object:
        """Return the attributes *names* of an object as plain JSON."""
        if depth > protocol.MAX_DEPTH:
            return TOO_DEEP
        entries = ((name, _attribute(value, name)) for name in names)
        return self._entries(entries, depth, about)


def _attribute(value: object, name: str) -> object:
    return guard.attempt(lambda: getattr(value, name), lambda _: unreadable(name))
