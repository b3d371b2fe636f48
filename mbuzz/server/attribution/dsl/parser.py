"""From a program's text to its parts.

Grammar, with a line's end behind every statement, and ``#`` to the end of a line a
comment; model_language.md tells it by examples::

    program    = "model" TEXT { statement } "end"
    statement  = "describe" TEXT | "lookback" duration | "exclude" condition
               | "credit" selector [ "where" condition ] "with" ratio [ sharing ]
               | "otherwise" ( "first_touch" | "last_touch" | sharing )
               | "weight" condition "by" ratio
               | "distribute" ( "proportionally" | sharing )
    sharing    = "equally" | "by" "recency" "(" duration ")"
    condition  = both { "or" both }
    both       = negation { "and" negation }
    negation   = "not" negation | "(" condition ")" | selector
               | "channel" "(" TEXT { "," TEXT } ")"
               | "age" ( "<" | "<=" | ">" | ">=" ) duration
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mbuzz.server.attribution.dsl import bounds
from mbuzz.server.attribution.dsl.conditions import take_condition, take_selector
from mbuzz.server.attribution.dsl.cursor import Cursor
from mbuzz.server.attribution.dsl.errors import (
    MOST_REPORTED,
    Place,
    ProgramError,
    nearest,
    shown,
    together,
)
from mbuzz.server.attribution.dsl.lexer import Lexemes, Token, tokenize
from mbuzz.server.attribution.dsl.syntax import (
    SELECTORS,
    STATEMENTS,
    CreditTo,
    Describe,
    Distribute,
    Equally,
    Exclude,
    Line,
    Lookback,
    Otherwise,
    Program,
    Proportionally,
    Recency,
    Sharing,
    Statement,
    WeightBy,
)
from mbuzz.server.attribution.dsl.validator import Part, check

# Where the parts of a statement are that errors of the whole program point to.
_Places = dict[Part, Place]
_LINE_END: Final = re.compile(r"\r?\n")


def parse(source: str) -> Program:
    """Return the program that *source* is.

    Raises:
        ProgramError: What is wrong with it, the first by the order of the checks: what
            is no piece of a program at all; then each line; then the whole.
    """
    bounds.check_source(source)
    try:
        return _program(tokenize(source))
    except ProgramError as error:
        lines = _LINE_END.split(source)
        for one in (error, *error.others):
            one.source_line = lines[one.line - 1]
        raise


def _program(lexemes: Lexemes) -> Program:
    cursor = Cursor(lexemes.tokens)
    first = cursor.token
    if not first.is_word("model"):
        place = Place(1, 1) if first.kind == "nothing" else first.place
        raise ProgramError("E204", place, 'a program begins with model "its name"')
    errors: list[ProgramError] = []
    name = ""
    lines: list[Line] = []
    places: list[_Places] = []
    kinds: list[str] = []
    try:
        cursor.take()
        name = cursor.text("the model's name")
        cursor.take_line_end()
    except ProgramError as error:
        errors.append(error)
        cursor.leave_line()
    while cursor.token.kind != "nothing" and not cursor.token.is_word("model", "end"):
        keyword = cursor.token
        found: _Places = {"kind": keyword.place}
        try:
            bounds.check_statement(keyword.text, keyword.place, kinds, len(kinds))
            kinds.append(keyword.text)
            statement = _statement(cursor, found)
            cursor.take_line_end()
        except ProgramError as error:
            errors.append(error)
            if error.code == "E602" or len(errors) == MOST_REPORTED:
                raise together(errors) from None
            cursor.leave_line()
            continue
        comments = lexemes.comments(keyword.line)
        lines.append(Line(statement=statement, comments=comments))
        places.append(found)
    end = cursor.token
    errors += _wrong_end(cursor, first)
    if errors:
        raise together(errors)
    program = Program(
        name=name,
        lines=tuple(lines),
        comments=lexemes.comments(first.line),
        end=lexemes.comments(end.line),
        after=lexemes.after,
    )

    def locate(index: int | None, part: Part) -> Place:
        return end.place if index is None else places[index][part]

    check(program.statements, locate)
    return program


def _wrong_end(cursor: Cursor, first: Token) -> list[ProgramError]:
    if not cursor.token.is_word("end"):
        hint = "write end on a line of its own below its statements"
        return [ProgramError("E202", first.place, "the model has no end", hint)]
    cursor.take()
    if cursor.token.kind == "line_end":
        cursor.take()
    if cursor.token.kind == "nothing":
        return []
    found = shown(cursor.token.text)
    hint = "a program is one model, and only comments may follow its end"
    return [
        ProgramError("E203", cursor.token.place, f"found {found} after end", hint),
    ]


def _statement(cursor: Cursor, places: _Places) -> Statement:
    keyword = cursor.token
    if keyword.kind != "word":
        raise cursor.expected("a statement")
    if keyword.text not in _READ:
        raise ProgramError(
            "E205",
            keyword.place,
            f"{shown(keyword.text)} is no statement",
            nearest(keyword.text, (*STATEMENTS, "end")),
        )
    cursor.take()
    return _READ[keyword.text](cursor, places)


def _describe(cursor: Cursor, _: _Places) -> Statement:
    return Describe(text=cursor.text("a description"))


def _lookback(cursor: Cursor, _: _Places) -> Statement:
    return Lookback(duration=cursor.duration())


def _exclude(cursor: Cursor, _: _Places) -> Statement:
    return Exclude(condition=take_condition(cursor))


def _credit(cursor: Cursor, places: _Places) -> Statement:
    places["selector"] = cursor.token.place
    selected = take_selector(cursor, SELECTORS)
    condition = None
    if cursor.token.is_word("where"):
        cursor.take()
        condition = take_condition(cursor)
    cursor.take_word("with")
    value, places["weight"] = cursor.ratio()
    weight = bounds.check_credit(value, places["weight"])
    sharing: Sharing | None = None if selected.single else Equally()
    if cursor.token.is_word("equally", "by"):
        if selected.single:
            raise bounds.shares_with_nobody(selected, cursor.token.place)
        sharing = _sharing(cursor)
    return CreditTo(
        selector=selected, condition=condition, weight=weight, sharing=sharing
    )


def _otherwise(cursor: Cursor, _: _Places) -> Statement:
    if cursor.token.is_word("equally", "by"):
        return Otherwise(share=_sharing(cursor))
    choices = ("first_touch", "last_touch", "equally", "by recency")
    return Otherwise(share=take_selector(cursor, choices))


def _weight(cursor: Cursor, _: _Places) -> Statement:
    condition = take_condition(cursor)
    cursor.take_word("by")
    value, place = cursor.ratio()
    return WeightBy(condition=condition, weight=bounds.check_weight(value, place))


def _distribute(cursor: Cursor, places: _Places) -> Statement:
    places["sharing"] = cursor.token.place
    if cursor.token.is_word("proportionally"):
        cursor.take()
        return Distribute(sharing=Proportionally())
    if cursor.token.is_word("equally", "by"):
        return Distribute(sharing=_sharing(cursor))
    raise cursor.expected("equally, proportionally or by")


_READ: Final[Mapping[str, Callable[[Cursor, _Places], Statement]]] = MappingProxyType(
    {
        "describe": _describe,
        "lookback": _lookback,
        "exclude": _exclude,
        "credit": _credit,
        "otherwise": _otherwise,
        "weight": _weight,
        "distribute": _distribute,
    }
)


def _sharing(cursor: Cursor) -> Sharing:
    """Take ``equally`` or ``by recency(...)``, one of which begins here."""
    if cursor.take().text == "equally":
        return Equally()
    cursor.take_word("recency")
    cursor.take_sign("(")
    half_life = cursor.duration()
    cursor.take_sign(")")
    return Recency(half_life=half_life)
