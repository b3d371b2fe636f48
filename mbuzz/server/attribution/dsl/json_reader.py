"""Programs from JSON: what `to_json` writes, or a visual builder.

Comments may be left out, and what is null. The checks and their codes are those of
texts, where there is no place in a text there is a path: ``statements[2].weight``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mbuzz.server.attribution.dsl import bounds
from mbuzz.server.attribution.dsl.errors import (
    MOST_REPORTED,
    Place,
    ProgramError,
    nearest,
    shown,
    together,
)
from mbuzz.server.attribution.dsl.formatter import format_program
from mbuzz.server.attribution.dsl.json_values import Node, expected, line, text
from mbuzz.server.attribution.dsl.syntax import (
    COMPARISONS,
    CONDITIONS,
    SELECTORS,
    STATEMENTS,
    Age,
    Channel,
    Comments,
    Condition,
    CreditTo,
    Describe,
    Distribute,
    Equally,
    Exclude,
    Line,
    Lookback,
    Not,
    Otherwise,
    Program,
    Proportionally,
    Recency,
    Selector,
    Sharing,
    Statement,
    WeightBy,
    both,
    either,
)
from mbuzz.server.attribution.dsl.validator import Part, check

_COMMENTS: Final = ("leading", "trailing")
_JOINS: Final = ("or", "and")


def from_json(value: object) -> Program:
    """Return the program that *value*, as `json.loads` returns it, is.

    Raises:
        ProgramError: What is wrong with it, with the path to it.
    """
    root = Node(value).only("name", *_COMMENTS, "statements", "end", "after")
    name = root.text("name")
    comments = _comments(root)
    end = Comments()
    if root.get("end") is not None:
        end = _comments(root.node("end").only(*_COMMENTS))
    program = Program(
        name=name,
        lines=_lines(root),
        comments=comments,
        end=end,
        after=_notes(root, "after"),
    )
    check(program.statements, _locate)
    format_program(program)  # what is too large for a text is so here as well
    return program


def _lines(root: Node) -> tuple[Line, ...]:
    lines: list[Line] = []
    kinds: list[str] = []
    errors: list[ProgramError] = []
    for index, (value, path) in enumerate(root.items("statements")):
        try:
            node = Node(value, path)
            kind = node.kind()
            bounds.check_statement(kind, Place(path=path), kinds, index)
            kinds.append(kind)
            statement = _statement(node, kind)
            lines.append(Line(statement=statement, comments=_comments(node)))
        except ProgramError as error:
            errors.append(error)
            if error.code == "E602" or len(errors) == MOST_REPORTED:
                break
    if errors:
        raise together(errors)
    return tuple(lines)


def _locate(index: int | None, part: Part) -> Place:
    if index is None:
        return Place(path="statements")
    path = f"statements[{index}]"
    return Place(path=path if part == "kind" else f"{path}.{part}")


def _comments(node: Node) -> Comments:
    trailing = node.get("trailing")
    if trailing is not None:
        trailing = _note(trailing, node.at("trailing"))
    return Comments(leading=_notes(node, "leading"), trailing=trailing)


def _notes(node: Node, key: str) -> tuple[str, ...]:
    if node.get(key) is None:
        return ()
    return tuple(_note(value, path) for value, path in node.items(key))


def _note(value: object, path: str) -> str:
    return line(value, path).rstrip(" \t")


def _statement(node: Node, kind: str) -> Statement:
    if kind not in _READ:
        raise ProgramError(
            "E205",
            Place(path=node.at("kind")),
            f"{shown(kind)} is no statement",
            nearest(kind, STATEMENTS),
        )
    keys, read = _READ[kind]
    return read(node.only("kind", *_COMMENTS, *keys))


def _describe(node: Node) -> Statement:
    return Describe(text=node.text("text"))


def _lookback(node: Node) -> Statement:
    return Lookback(duration=node.duration("duration"))


def _exclude(node: Node) -> Statement:
    return Exclude(condition=_condition(node.node("condition")))


def _credit(node: Node) -> Statement:
    selector = _selector(node.node("selector"), SELECTORS)
    condition = None
    if node.get("condition") is not None:
        condition = _condition(node.node("condition"))
    weight = bounds.check_credit(*node.ratio("weight"))
    sharing: Sharing | None = None if selector.single else Equally()
    if node.get("sharing") is not None:
        if selector.single:
            raise bounds.shares_with_nobody(selector, Place(path=node.at("sharing")))
        sharing = _sharing(node.node("sharing"))
    return CreditTo(
        selector=selector, condition=condition, weight=weight, sharing=sharing
    )


def _otherwise(node: Node) -> Statement:
    share = node.node("share")
    if share.kind() in ("equally", "recency"):
        return Otherwise(share=_sharing(share))
    choices = ("first_touch", "last_touch", "equally", "recency")
    return Otherwise(share=_selector(share, choices))


def _weight(node: Node) -> Statement:
    condition = _condition(node.node("condition"))
    weight = bounds.check_weight(*node.ratio("weight"))
    return WeightBy(condition=condition, weight=weight)


def _distribute(node: Node) -> Statement:
    sharing = node.node("sharing")
    if sharing.kind() == "proportionally":
        sharing.only("kind")
        return Distribute(sharing=Proportionally())
    return Distribute(sharing=_sharing(sharing))


_READ: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Node], Statement]]]] = (
    MappingProxyType(
        {
            "describe": (("text",), _describe),
            "lookback": (("duration",), _lookback),
            "exclude": (("condition",), _exclude),
            "credit": (("selector", "condition", "weight", "sharing"), _credit),
            "otherwise": (("share",), _otherwise),
            "weight": (("condition", "weight"), _weight),
            "distribute": (("sharing",), _distribute),
        }
    )
)


def _sharing(node: Node) -> Sharing:
    kind = node.kind()
    if kind == "equally":
        node.only("kind")
        return Equally()
    if kind == "recency":
        node.only("kind", "half_life")
        return Recency(half_life=node.duration("half_life"))
    raise expected("a way to share", kind, node.at("kind"))


def _selector(node: Node, choices: tuple[str, ...]) -> Selector:
    """Return a selector, which has to be one of *choices*."""
    name = node.kind()
    if name not in choices:
        raise ProgramError(
            "E301",
            Place(path=node.at("kind")),
            f"{shown(name)} selects no touches here",
            nearest(name, choices),
        )
    return _selected(node, name)


def _selected(node: Node, name: str) -> Selector:
    if name == "milestone":
        said = node.only("kind", "name").get("name")
        return Selector(name=name, argument=_argument(said, node.at("name")))
    if name == "touch":
        number, path = node.only("kind", "number").get("number"), node.at("number")
        if not isinstance(number, int) or isinstance(number, bool):
            raise _wrong_type("a whole number", path)
        return Selector(
            name=name, argument=bounds.check_touch(number, Place(path=path))
        )
    node.only("kind")
    return Selector(name=name)


def _argument(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type("text", path)
    return text(value, path)


def _wrong_type(wanted: str, path: str) -> ProgramError:
    return ProgramError("E303", Place(path=path), f"the argument has to be {wanted}")


def _condition(node: Node, depth: int = 0, around: str = "") -> Condition:
    """Return a condition inside of *depth* ``not`` and parentheses, and of *around*."""
    kind = node.kind()
    if kind in _JOINS:
        return _join(node, kind, depth, around)
    if kind == "not":
        bounds.check_nesting(depth, Place(path=node.path))
        inner = node.only("kind", "condition").node("condition")
        return Not(condition=_condition(inner, depth + 1, "not"))
    if kind not in CONDITIONS:
        raise ProgramError(
            "E302",
            Place(path=node.at("kind")),
            f"{shown(kind)} is no condition",
            nearest(kind, (*CONDITIONS, "not", *_JOINS)),
        )
    if kind == "channel":
        given = node.only("kind", "names").items("names")
        names = tuple(_argument(value, path) for value, path in given)
        bounds.check_count("channel", len(names), Place(path=node.at("names")))
        return Channel(names=names)
    if kind == "age":
        node.only("kind", "comparison", "duration")
        comparison = node.choice("comparison", COMPARISONS)
        return Age(comparison=comparison, duration=node.duration("duration"))
    return _selected(node, kind)


def _join(node: Node, kind: str, depth: int, around: str) -> Condition:
    # In a text two go without parentheses: the outermost, and "and" inside of "or".
    if around and (around, kind) != ("or", "and"):
        bounds.check_nesting(depth, Place(path=node.path))
        depth += 1
    inner = [
        _condition(Node(value, path), depth, kind)
        for value, path in node.only("kind", "conditions").items("conditions")
    ]
    if len(inner) < 2:
        raise expected("two conditions or more", None, node.at("conditions"))
    return (either if kind == "or" else both)(inner)
