"""A way along a program's tokens, and the values that stand there."""

from __future__ import annotations

from fractions import Fraction

from mbuzz.server.attribution.dsl import bounds
from mbuzz.server.attribution.dsl.errors import Place, ProgramError, nearest, shown
from mbuzz.server.attribution.dsl.lexer import Token, unescape
from mbuzz.server.attribution.dsl.numerals import decimal, is_whole
from mbuzz.server.attribution.dsl.syntax import UNITS, Duration


class Cursor:
    """Where a parser is among *tokens*, the last of which is a ``nothing``."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._index = 0

    @property
    def token(self) -> Token:
        """The token that is next."""
        return self._tokens[self._index]

    def take(self) -> Token:
        """Return the next token and go on, but never beyond the last."""
        token = self.token
        if token.kind != "nothing":
            self._index += 1
        return token

    def take_word(self, word: str) -> Token:
        """Take what has to be this word."""
        if not self.token.is_word(word):
            raise self.expected(word)
        return self.take()

    def take_sign(self, *signs: str) -> Token:
        """Take what has to be one of these signs."""
        if not self.token.is_sign(*signs):
            raise self.expected(" or ".join(signs))
        return self.take()

    def take_line_end(self) -> None:
        """Take the end of a line, where nothing else may stand."""
        if self.token.kind != "line_end":
            raise self.expected("the end of the line")
        self.take()

    def leave_line(self) -> None:
        """Go on behind the end of this line, whatever is left of it."""
        line = self.token.line
        while self.token.line == line and self.token.kind != "nothing":
            self.take()

    def expected(self, what: str) -> ProgramError:
        """Return the error that the next token is not *what*."""
        found = shown(self.token.text)
        if self.token.kind in ("line_end", "nothing"):
            found = "the end of the line"
        return ProgramError("E201", self.token.place, f"expected {what}, found {found}")

    def text(self, what: str) -> str:
        """Take a text, *what* of which is for the error if there is none."""
        if self.token.kind != "text":
            raise self.expected(f"{what} in quotes")
        token = self.take()
        return bounds.check_text(unescape(token.text), token.place)

    def duration(self) -> Duration:
        """Take a number and its unit."""
        if self.token.kind != "number":
            raise self.expected("a duration, such as 7 days")
        number = self.take()
        amount = decimal(number.text, number.place)
        if self.token.kind != "word":
            raise ProgramError(
                "E305", number.place, "the duration has no unit", _units(number.text)
            )
        unit = self.token.text
        if unit not in UNITS:
            raise ProgramError(
                "E305",
                self.token.place,
                f"{shown(unit)} is no unit",
                nearest(unit, UNITS),
            )
        self.take()
        duration = Duration(amount=amount, unit=UNITS[unit])
        return bounds.check_duration(duration, number.place)

    def ratio(self) -> tuple[Fraction, Place]:
        """Take a decimal, a percentage or a fraction; return it and where it began."""
        if self.token.kind != "number":
            raise self.expected("a number")
        number = self.take()
        value = decimal(number.text, number.place)
        if self.token.is_sign("%"):
            self.take()
            value /= 100
        elif self.token.is_sign("/") and is_whole(number.text):
            self.take()
            if self.token.kind != "number" or not is_whole(self.token.text):
                raise self.expected("a whole number")
            below = int(self.take().text)
            if not below:
                raise ProgramError("E401", number.place, "nothing is divided by 0")
            value /= below
        return value, number.place


def _units(number: str) -> str:
    return f"say of what: {number} minutes, hours, days or weeks"
