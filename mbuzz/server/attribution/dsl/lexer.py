"""From a program's text to its words, numbers, texts and signs, and the comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mbuzz.server.attribution.dsl.errors import (
    MOST_REPORTED,
    Place,
    ProgramError,
    together,
)
from mbuzz.server.attribution.dsl.numerals import check_numeral
from mbuzz.server.attribution.dsl.syntax import Comments

# Whatever begins like a number is one, or a malformed one. Every alternative begins
# with other characters and none can be read in two ways: time is linear.
_LEXEME: Final = re.compile(
    r"""
    (?P<blank>[ \t]+)
    | (?P<comment>\#[^\r\n]*)
    | (?P<line_end>\r?\n)
    | (?P<number>-?\.?[0-9](?:[A-Za-z0-9_.]|,(?=[0-9]))*)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>"(?:[^"\\\r\n]|\\[^\r\n])*")
    | (?P<open>"[^\r\n]*)
    | (?P<sign><=|>=|[()%/,<>])
    """,
    re.VERBOSE,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # no characters, nor in UTF-8


class Token(NamedTuple):
    """A piece of a program: *kind* is word, number, text, sign, line_end or nothing.

    `text` is as it is written. A line's end stands right behind its last token.
    """

    kind: str
    text: str
    line: int
    column: int

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(self.line, self.column)

    def is_word(self, *words: str) -> bool:
        """Tell whether it is one of these words."""
        return self.kind == "word" and self.text in words

    def is_sign(self, *signs: str) -> bool:
        """Tell whether it is one of these signs."""
        return self.kind == "sign" and self.text in signs


@dataclass(slots=True)
class Lexemes:
    """A program's tokens, the last a ``nothing``, and what was noted beside them."""

    tokens: list[Token] = field(default_factory=list)
    leading: dict[int, tuple[str, ...]] = field(default_factory=dict)
    trailing: dict[int, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()

    def comments(self, line: int) -> Comments:
        """Return what was noted at a line."""
        return Comments(
            leading=self.leading.get(line, ()), trailing=self.trailing.get(line)
        )


def tokenize(source: str) -> Lexemes:
    """Return the pieces of *source*.

    Raises:
        ProgramError: E101 to E104, of the first piece that is none.
    """
    found = Lexemes()
    errors: list[ProgramError] = []
    above: list[str] = []
    last = Token("line_end", "", 1, 1)
    for token in _pieces(source):
        if token.kind == "comment":
            _note(token, found, above)
        elif token.kind == "line_end":
            if last.kind != "line_end":
                last = _line_end(last)
                found.tokens.append(last)
            continue
        else:
            if last.kind == "line_end" and above:
                found.leading[token.line] = tuple(above)
                above.clear()
            last = token
            found.tokens.append(token)
        errors += _wrong(token)
        if len(errors) >= MOST_REPORTED:
            break
    if errors:
        raise together(errors[:MOST_REPORTED])
    if last.kind != "line_end":
        last = _line_end(last)
        found.tokens.append(last)
    found.tokens.append(last._replace(kind="nothing"))
    found.after = tuple(above)
    return found


def unescape(text: str) -> str:
    """Return what a text token says."""
    return _ESCAPE.sub(r"\1", text[1:-1])


def _pieces(source: str) -> Iterator[Token]:
    """Yield all pieces but blanks; what is no piece is one of its own kind."""
    line, begin, at = 1, 0, 0
    while at < len(source):
        matched = _LEXEME.match(source, at)
        kind = (matched and matched.lastgroup) or "unknown"
        end = matched.end() if matched else at + 1
        if kind != "blank":
            yield Token(kind, source[at:end], line, at - begin + 1)
        at = end
        if kind == "line_end":
            line, begin = line + 1, at


def _line_end(last: Token) -> Token:
    return Token("line_end", "", last.line, last.column + len(last.text))


def _note(comment: Token, found: Lexemes, above: list[str]) -> None:
    """Keep a comment without its ``#``, and a blank behind that."""
    text = comment.text[1:].removeprefix(" ").rstrip(" \t")
    if found.tokens and found.tokens[-1].line == comment.line:
        found.trailing[comment.line] = text
    else:
        above.append(text)


def _wrong(token: Token) -> Iterator[ProgramError]:
    """Yield what is wrong with a piece by itself."""
    if token.kind == "number":
        try:
            check_numeral(token.text, token.place)
        except ProgramError as error:
            yield error
    elif token.kind == "unknown":
        yield _unexpected(token.text, token.place)
    elif token.kind == "open":
        yield ProgramError(
            "E102", token.place, "the text is not closed", 'end it with " on its line'
        )
    elif token.kind in ("text", "comment"):
        yield from _wrong_inside(token)


def _wrong_inside(token: Token) -> Iterator[ProgramError]:
    problems = [
        (at.start(), _unexpected(at[0], _inside(token, at)))
        for at in _SURROGATE.finditer(token.text)
    ]
    if token.kind == "text":
        problems += [
            (
                at.start(),
                ProgramError(
                    "E104",
                    _inside(token, at),
                    "the escape is unknown",
                    r"there are \" and \\; nothing else needs one",
                ),
            )
            for at in _ESCAPE.finditer(token.text)
            if at[1] not in '"\\'
        ]
    yield from (error for _, error in sorted(problems, key=lambda one: one[0]))


def _inside(token: Token, found: re.Match[str]) -> Place:
    return Place(token.line, token.column + found.start())


def _unexpected(character: str, place: Place) -> ProgramError:
    name = character if character.isprintable() else f"U+{ord(character):04X}"
    hint = ""
    if character in "\u201c\u201d\u201e\u2018\u2019\xab\xbb'":  # other quotes
        hint = 'texts are in straight double quotes: "'
    elif character == "\ufeff":
        hint = "save the file as UTF-8 without a byte order mark"
    elif character == "\r":
        hint = "lines end with LF or CRLF"
    elif character == "=":
        hint = "compare with <, <=, > or >="
    return ProgramError("E101", place, f"{name} has no meaning here", hint)
