"""What is wrong with a program, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, NamedTuple

MOST_REPORTED: Final = 20  # errors of one program
_ALIKE: Final = 0.5  # of 1; "frist" and "first_touch" are
_SHOWN: Final = 40  # characters of what was found


class Place(NamedTuple):
    """Where in a program something stands.

    In a text `line` and `column` count from 1, a column for every character; in the
    JSON form there are none, but a `path` such as ``statements[2].weight``.
    """

    line: int = 0
    column: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.line:
            return f"line {self.line}, column {self.column}"
        return f"at {self.path or 'the top'}"


class ProgramError(ValueError):
    """A program that is no valid model; `str` is one line, `render` all there is.

    Attributes:
        code: Which rule is broken, such as ``E402``; model_language.md has the list.
        place: Where.
        message: What is wrong, and what was found.
        hint: What to do; empty where the message says it.
        source_line: The line that `place` is in; empty without one.
        others: More errors of the same program, in the order of its lines.
    """

    def __init__(self, code: str, place: Place, message: str, hint: str = "") -> None:
        super().__init__(code, place, message, hint)
        self.code = code
        self.place = place
        self.message = message
        self.hint = hint
        self.source_line = ""
        self.others: tuple[ProgramError, ...] = ()

    @property
    def line(self) -> int:
        """The line, from 1; 0 in the JSON form."""
        return self.place.line

    @property
    def column(self) -> int:
        """The column in characters, from 1; 0 in the JSON form."""
        return self.place.column

    def __str__(self) -> str:
        return f"error[{self.code}]: {self.message} ({self.place})"

    def render(self) -> str:
        """Return the error with its place, the source line, a caret and the hint."""
        lines = [f"error[{self.code}]: {self.message}", str(self.place)]
        if self.source_line:
            before = self.source_line[: self.column - 1]
            # Tabs stay, so that the caret is below what it points to.
            pad = "".join("\t" if character == "\t" else " " for character in before)
            lines += [printable(self.source_line), f"{pad}^"]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


def together(errors: Iterable[ProgramError]) -> ProgramError:
    """Return the first of *errors*, which knows of the others."""
    first, *others = errors
    first.others = tuple(others)
    return first


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return a hint: the one of *choices* that *word* may be meant for, or them all."""
    known = {choice.replace("_", ""): choice for choice in choices}
    found = get_close_matches(word.lower().replace("_", ""), known, n=1, cutoff=_ALIKE)
    if found:
        return f"did you mean {known[found[0]]}?"
    return f"choose one of {', '.join(known.values())}"


def printable(text: str) -> str:
    """Return *text* with a mark for every character that a terminal might obey."""
    return "".join(
        character if character == "\t" or character.isprintable() else "\ufffd"
        for character in text
    )


def shown(text: str) -> str:
    """Return *text* for a message: printable, and not too long."""
    text = printable(text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
