"""The one way to write a program: parsed again it is the same, comments and all."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mbuzz.server.attribution.dsl import bounds
from mbuzz.server.attribution.dsl.numerals import written
from mbuzz.server.attribution.dsl.syntax import (
    NO_COMMENTS,
    Age,
    Both,
    Channel,
    Comments,
    Condition,
    CreditTo,
    Describe,
    Distribute,
    Duration,
    Either,
    Equally,
    Exclude,
    Lookback,
    Not,
    Otherwise,
    Program,
    Proportionally,
    Recency,
    Selector,
    Statement,
    WeightBy,
)

_INDENT: Final = "  "


def format_program(program: Program) -> str:
    """Return the canonical text of *program*, with its comments.

    Raises:
        ProgramError: E601 if that is too large to be parsed again.
    """
    lines = _noted("", f"model {_text(program.name)}", program.comments)
    for line in program.lines:
        lines += _noted(
            _INDENT, _INDENT + statement_text(line.statement), line.comments
        )
    lines += _noted(_INDENT, "end", program.end)
    lines += [_comment(note) for note in program.after]
    source = "".join(f"{line}\n" for line in lines)
    bounds.check_source(source)
    return source


def canonical(program: Program) -> str:
    """Return the canonical text of *program* without comments.

    Of two programs that say the same by the same statements it is the same.

    Raises:
        ProgramError: As `format_program`.
    """
    lines = tuple(replace(line, comments=NO_COMMENTS) for line in program.lines)
    return format_program(Program(name=program.name, lines=lines))


def statement_text(statement: Statement) -> str:
    """Return the canonical text of a statement, without comments."""
    match statement:
        case Describe():
            said = _text(statement.text)
        case Lookback():
            said = duration_text(statement.duration)
        case Exclude():
            said = condition_text(statement.condition)
        case CreditTo():
            said = _credit(statement)
        case Otherwise():
            said = _share(statement.share)
        case WeightBy():
            condition = condition_text(statement.condition)
            said = f"{condition} by {written(statement.weight)}"
        case Distribute():
            said = _share(statement.sharing)
    return f"{statement.kind} {said}"


def condition_text(condition: Condition) -> str:
    """Return the canonical text of a condition, with parentheses where needed."""
    match condition:
        case Selector():
            return selector_text(condition)
        case Channel():
            return f"channel({', '.join(map(_text, condition.names))})"
        case Age():
            return f"age {condition.comparison} {duration_text(condition.duration)}"
        case Not():
            inner = condition.condition
            return f"not {_inside(inner, isinstance(inner, Both | Either))}"
        case Both():
            return " and ".join(
                _inside(one, isinstance(one, Either)) for one in condition.conditions
            )
        case Either():
            return " or ".join(map(condition_text, condition.conditions))


def selector_text(selector: Selector) -> str:
    """Return a selector as it is written."""
    argument = selector.argument
    if argument is None:
        return selector.name
    given = _text(argument) if isinstance(argument, str) else argument
    return f"{selector.name}({given})"


def duration_text(duration: Duration) -> str:
    """Return a duration in its own unit."""
    plural = "" if duration.amount == 1 else "s"
    return f"{written(duration.amount)} {duration.unit}{plural}"


def _credit(credit: CreditTo) -> str:
    said = selector_text(credit.selector)
    if credit.condition is not None:
        said += f" where {condition_text(credit.condition)}"
    said += f" with {written(credit.weight)}"
    return said if credit.sharing is None else f"{said} {_share(credit.sharing)}"


def _share(share: Selector | Equally | Recency | Proportionally) -> str:
    match share:
        case Selector():
            return selector_text(share)
        case Equally():
            return "equally"
        case Proportionally():
            return "proportionally"
        case Recency():
            return f"by recency({duration_text(share.half_life)})"


def _inside(condition: Condition, parentheses: bool) -> str:  # noqa: FBT001
    text = condition_text(condition)
    return f"({text})" if parentheses else text


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _noted(indent: str, line: str, comments: Comments) -> list[str]:
    """Return a line below its comments, and the one at its end behind it."""
    lines = [indent + _comment(note) for note in comments.leading]
    if comments.trailing is not None:
        line += f" {_comment(comments.trailing)}"
    return [*lines, line]


def _comment(note: str) -> str:
    blank = "" if not note or note.startswith("#") else " "
    return f"#{blank}{note}"
