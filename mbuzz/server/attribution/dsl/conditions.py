"""The parser of selectors and conditions."""

from __future__ import annotations

from mbuzz.server.attribution.dsl import bounds
from mbuzz.server.attribution.dsl.cursor import Cursor
from mbuzz.server.attribution.dsl.errors import ProgramError, nearest, shown
from mbuzz.server.attribution.dsl.lexer import Token, unescape
from mbuzz.server.attribution.dsl.numerals import is_whole
from mbuzz.server.attribution.dsl.syntax import (
    COMPARISONS,
    CONDITIONS,
    RESERVED,
    Age,
    Channel,
    Condition,
    Not,
    Selector,
    both,
    either,
)


def take_selector(cursor: Cursor, choices: tuple[str, ...]) -> Selector:
    """Take a selector, which has to be one of *choices*."""
    name = cursor.token
    if name.kind != "word" or name.text in RESERVED:
        raise cursor.expected("which touches")
    if name.text not in choices:
        raise ProgramError(
            "E301",
            name.place,
            f"{shown(name.text)} selects no touches here",
            nearest(name.text, choices),
        )
    cursor.take()
    return _selected(cursor, name)


def _selected(cursor: Cursor, name: Token) -> Selector:
    """Take what belongs to a selector of which *name* has been taken."""
    if name.text == "milestone":
        return Selector(name="milestone", argument=_texts(cursor, name)[0])
    if name.text == "touch":
        return Selector(name="touch", argument=_number(cursor, name))
    return Selector(name=name.text)


def take_condition(cursor: Cursor, depth: int = 0) -> Condition:
    """Take a condition that stands inside of *depth* others."""
    found = [_both(cursor, depth)]
    while cursor.token.is_word("or"):
        cursor.take()
        found.append(_both(cursor, depth))
    return either(found)


def _both(cursor: Cursor, depth: int) -> Condition:
    found = [_negation(cursor, depth)]
    while cursor.token.is_word("and"):
        cursor.take()
        found.append(_negation(cursor, depth))
    return both(found)


def _negation(cursor: Cursor, depth: int) -> Condition:
    token = cursor.token
    if token.is_word("not"):
        bounds.check_nesting(depth, token.place)
        cursor.take()
        return Not(condition=_negation(cursor, depth + 1))
    if token.is_sign("("):
        bounds.check_nesting(depth, token.place)
        cursor.take()
        inner = take_condition(cursor, depth + 1)
        cursor.take_sign(")")
        return inner
    return _atom(cursor)


def _atom(cursor: Cursor) -> Condition:
    name = cursor.token
    if name.kind != "word" or name.text in RESERVED:
        raise cursor.expected("a condition")
    if name.text not in CONDITIONS:
        raise ProgramError(
            "E302",
            name.place,
            f"{shown(name.text)} is no condition",
            nearest(name.text, (*CONDITIONS, "not")),
        )
    cursor.take()
    if name.text == "channel":
        return Channel(names=tuple(_texts(cursor, name)))
    if name.text == "age":
        comparison = cursor.take_sign(*COMPARISONS).text
        return Age(comparison=comparison, duration=cursor.duration())
    return _selected(cursor, name)


def _texts(cursor: Cursor, name: Token) -> list[str]:
    """Take the arguments of a function of texts, of which *name* has been taken."""
    found = [
        bounds.check_text(unescape(token.text), token.place)
        for token in _arguments(cursor, name, "text")
    ]
    bounds.check_count(name.text, len(found), name.place)
    return found


def _number(cursor: Cursor, name: Token) -> int:
    """Take the argument of a function of one integer."""
    found = _arguments(cursor, name, "number")
    bounds.check_count(name.text, len(found), name.place)
    return bounds.check_touch(int(found[0].text), found[0].place)


def _arguments(cursor: Cursor, name: Token, kind: str) -> list[Token]:
    """Take all arguments of a function; each has to be of *kind*, and whole."""
    cursor.take_sign("(")
    found: list[Token] = []
    if cursor.token.is_sign(")"):
        cursor.take()
        return found
    while True:
        token = cursor.token
        if token.kind not in ("text", "number", "word"):
            raise cursor.expected(f"a {kind}")
        if token.kind != kind or (kind == "number" and not is_whole(token.text)):
            wanted = "texts in quotes" if kind == "text" else "a whole number"
            raise ProgramError(
                "E303",
                token.place,
                f"{name.text} takes {wanted}, got {shown(token.text)}",
                f'write "{token.text}"'
                if kind == "text" and token.kind == "word"
                else "",
            )
        found.append(cursor.take())
        if cursor.take_sign(",", ")").text == ")":
            return found
