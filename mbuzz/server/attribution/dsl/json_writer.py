"""Programs as JSON, for visual builders: an object for every statement.

Numbers are texts, a decimal or ``p/q``, since JSON's own are not exact.
"""

from __future__ import annotations

from typing import TypeAlias

from mbuzz.server.attribution.dsl.numerals import written
from mbuzz.server.attribution.dsl.syntax import (
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
    Sharing,
    Statement,
    WeightBy,
)

Json: TypeAlias = dict[str, object]


def to_json(program: Program) -> Json:
    """Return *program* as what `json.dumps` takes and `from_json` reads."""
    return {
        "name": program.name,
        **_comments(program.comments),
        "statements": [
            {**_statement(line.statement), **_comments(line.comments)}
            for line in program.lines
        ],
        "end": _comments(program.end),
        "after": list(program.after),
    }


def _comments(comments: Comments) -> Json:
    return {"leading": list(comments.leading), "trailing": comments.trailing}


def _statement(statement: Statement) -> Json:
    match statement:
        case Describe(text=text):
            said: Json = {"text": text}
        case Lookback(duration=duration):
            said = {"duration": _duration(duration)}
        case Exclude(condition=condition):
            said = {"condition": _condition(condition)}
        case CreditTo(condition=where, sharing=sharing):
            said = {
                "selector": _condition(statement.selector),
                "condition": None if where is None else _condition(where),
                "weight": written(statement.weight),
                "sharing": None if sharing is None else _share(sharing),
            }
        case Otherwise(share=share):
            said = {"share": _share(share)}
        case WeightBy(condition=condition, weight=weight):
            said = {"condition": _condition(condition), "weight": written(weight)}
        case Distribute(sharing=sharing):
            said = {"sharing": _share(sharing)}
    return {"kind": statement.kind, **said}


def _share(share: Selector | Sharing | Proportionally) -> Json:
    match share:
        case Selector():
            return _condition(share)
        case Equally():
            return {"kind": "equally"}
        case Proportionally():
            return {"kind": "proportionally"}
        case Recency(half_life=half_life):
            return {"kind": "recency", "half_life": _duration(half_life)}


def _duration(duration: Duration) -> Json:
    return {"amount": written(duration.amount), "unit": duration.unit}


def _condition(condition: Condition) -> Json:
    match condition:
        case Selector(name="milestone", argument=name):
            return {"kind": "milestone", "name": name}
        case Selector(name="touch", argument=number):
            return {"kind": "touch", "number": number}
        case Selector(name=name):
            return {"kind": name}
        case Channel(names=names):
            return {"kind": "channel", "names": list(names)}
        case Age(comparison=comparison, duration=duration):
            return {
                "kind": "age",
                "comparison": comparison,
                "duration": _duration(duration),
            }
        case Not(condition=inner):
            return {"kind": "not", "condition": _condition(inner)}
        case Both(conditions=inners):
            return {"kind": "and", "conditions": [_condition(one) for one in inners]}
        case Either(conditions=inners):
            return {"kind": "or", "conditions": [_condition(one) for one in inners]}
