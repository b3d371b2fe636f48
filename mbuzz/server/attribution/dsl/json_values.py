"""The values inside of a program's JSON form, each checked where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from mbuzz.server.attribution.dsl import bounds
from mbuzz.server.attribution.dsl.errors import Place, ProgramError, shown
from mbuzz.server.attribution.dsl.numerals import check_numeral, decimal, is_whole
from mbuzz.server.attribution.dsl.syntax import UNITS, Duration

_NO_LINE: Final = re.compile("[\r\n\ud800-\udfff]")  # nor what is no character


class Node:
    """An object in JSON, and the path to it."""

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise expected("an object", value, path)
        self.path = path
        self._value = value

    def at(self, key: str) -> str:
        """Return the path of what is under *key*."""
        return f"{self.path}.{key}" if self.path else key

    def get(self, key: str) -> object:
        """Return what is under *key*; None is the same as nothing."""
        return self._value.get(key)

    def only(self, *keys: str) -> Node:
        """Return this object if it has no others than these keys."""
        for key in self._value:
            if key not in keys:
                known = f"one of {', '.join(keys)}"
                raise expected(known, key, self.path)
        return self

    def node(self, key: str) -> Node:
        """Return the object under *key*."""
        return Node(self.get(key), self.at(key))

    def items(self, key: str) -> list[tuple[object, str]]:
        """Return each in the list under *key*, and the path to it."""
        value = self.get(key)
        if not isinstance(value, list):
            raise expected("a list", value, self.at(key))
        return [(one, f"{self.at(key)}[{n}]") for n, one in enumerate(value)]

    def kind(self) -> str:
        """Return what kind of object it says it is."""
        value = self.get("kind")
        if not isinstance(value, str):
            raise expected("a kind", value, self.at("kind"))
        return value

    def choice(self, key: str, choices: Iterable[str]) -> str:
        """Return the word under *key*, which has to be one of *choices*."""
        value = self.get(key)
        if not isinstance(value, str) or value not in choices:
            raise expected(f"one of {', '.join(choices)}", value, self.at(key))
        return value

    def text(self, key: str) -> str:
        """Return the text under *key*."""
        return text(self.get(key), self.at(key))

    def ratio(self, key: str) -> tuple[Fraction, Place]:
        """Return the number under *key*, a decimal or ``p/q``, and where it is."""
        value, place = self.get(key), Place(path=self.at(key))
        if not isinstance(value, str):
            raise expected("a number as text", value, place.path)
        above, slash, below = value.partition("/")
        check_numeral(above, place)
        if not slash:
            return decimal(value, place), place
        check_numeral(below, place)
        if not is_whole(above) or not is_whole(below):
            raise expected("whole numbers around /", value, place.path)
        if not int(below):
            raise ProgramError("E401", place, "nothing is divided by 0")
        return Fraction(int(above), int(below)), place

    def duration(self, key: str) -> Duration:
        """Return the duration under *key*."""
        node = self.node(key).only("amount", "unit")
        amount, place = node.get("amount"), Place(path=node.at("amount"))
        if not isinstance(amount, str):
            raise expected("a number as text", amount, place.path)
        check_numeral(amount, place)
        value, unit = decimal(amount, place), node.get("unit")
        if not isinstance(unit, str) or unit not in UNITS:
            raise ProgramError(
                "E305",
                Place(path=node.at("unit")),
                f"{_found(unit)} is no unit",
                f"choose one of {', '.join(UNITS)}",
            )
        return bounds.check_duration(Duration(amount=value, unit=UNITS[unit]), place)


def line(value: object, path: str) -> str:
    """Return what may stand on a line of a program."""
    if not isinstance(value, str):
        raise expected("text", value, path)
    wrong = _NO_LINE.search(value)
    if wrong:
        raise ProgramError(
            "E101", Place(path=path), f"U+{ord(wrong[0]):04X} has no meaning here"
        )
    return value


def text(value: object, path: str) -> str:
    """Return a text of a program."""
    return bounds.check_text(line(value, path), Place(path=path))


def expected(what: str, found: object, path: str) -> ProgramError:
    """Return the error that *found* is not *what*."""
    return ProgramError(
        "E201", Place(path=path), f"expected {what}, found {_found(found)}"
    )


def _found(value: object) -> str:
    """Return what kind of value it is, and a text itself."""
    if isinstance(value, str):
        return shown(value) or "an empty text"
    if value is None:
        return "nothing"
    return {dict: "an object", list: "a list", bool: "true or false"}.get(
        type(value), "a number"
    )
