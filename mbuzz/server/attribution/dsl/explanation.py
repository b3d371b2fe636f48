"""What a program does, in plain English and in shares of sample journeys."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from mbuzz.server.attribution.dsl.formatter import duration_text
from mbuzz.server.attribution.dsl.interpreter import weighing
from mbuzz.server.attribution.dsl.numerals import written
from mbuzz.server.attribution.dsl.syntax import (
    UNITS_MS,
    Age,
    Both,
    Channel,
    Condition,
    CreditTo,
    Describe,
    Distribute,
    Either,
    Equally,
    Exclude,
    Lookback,
    Not,
    Otherwise,
    Program,
    Proportionally,
    Selector,
    Sharing,
    Statement,
    WeightBy,
)
from mbuzz.server.attribution.journeys import Journey

_SAMPLES: Final = (1, 2, 3)  # touchpoints
_NAMES: Final = {
    "first_touch": "the first touch",
    "last_touch": "the last touch",
    "middle_touches": "the touches between the first and the last",
    "all_touches": "all touches",
    "other_touches": "the touches that no other credit names",
}
_SAID_APART: Final = ("describe", "otherwise")
_COMPARED: Final = {
    "<": "less than {} before the conversion",
    "<=": "at most {} before the conversion",
    ">": "more than {} before the conversion",
    ">=": "at least {} before the conversion",
}


def effective_weights(program: Program) -> tuple[tuple[Fraction, ...], ...]:
    """Return the shares of journeys of one, two and three touchpoints; each sums to 1.

    They have no milestones, and channels that no program names; a day lies between one
    touchpoint and the next, and none between the last and the conversion.
    """
    weigh = weighing(program.statements)
    rows = []
    for size in _SAMPLES:
        times_ms = [position * UNITS_MS["day"] for position in range(size)]
        journey = Journey(("",) * size, times_ms, times_ms[-1])
        parts = [Fraction(part) for part in weigh(journey).parts]
        rows.append(tuple(part / sum(parts) for part in parts))
    return tuple(rows)


def explain(program: Program) -> list[str]:
    """Return sentences: what counts, what each statement does, and what if not."""
    statements = program.statements
    kinds = [statement.kind for statement in statements]
    said = [sentence(one) for one in statements if one.kind not in _SAID_APART]
    if "lookback" not in kinds:
        said.insert(0, "Touches count as far back as the account looks.")
    if kinds.count("credit") > 1:
        said.append(
            "Credits whose touches a journey does not have go to the others, in "
            "proportion; a touch named by several gets the sum."
        )
    if "weight" in kinds:
        said.append("Every touch begins with a weight of 1, and weights multiply.")
    if "otherwise" in kinds:
        said.append(sentence(statements[kinds.index("otherwise")]))
    elif "credit" in kinds:
        said.append("Every journey has some of these touches.")
    said.append("A conversion that no touch counts for stays unattributed.")
    return said


def sentence(statement: Statement) -> str:
    """Return what a statement does."""
    match statement:
        case Describe(text=text):
            return text
        case Lookback(duration=duration):
            return (
                f"Touches count up to {duration_text(duration)} before the conversion."
            )
        case Exclude(condition=condition):
            return f"Leaves out {_touches(condition)}, unless nothing else is left."
        case CreditTo():
            return _credit(statement)
        case Otherwise(share=share):
            whole = (
                f"{_whom(share)} gets all"
                if isinstance(share, Selector)
                else f"all touches share{_shared(share)}"
            )
            return f"If a journey has none of these touches, {whole}."
        case WeightBy(condition=condition, weight=weight):
            return (
                f"Multiplies the weight of {_touches(condition)} by {written(weight)}."
            )
        case Distribute(sharing=sharing):
            return f"Touches share{_shared(sharing)}."


def _credit(credit: CreditTo) -> str:
    whom = _whom(credit.selector)
    if credit.condition is not None:
        link = ", if it is" if credit.selector.single else " that are"
        whom += f"{link} {_which(credit.condition)}"
    said = f"Gives {_percent(credit.weight)} to {whom}"
    if credit.sharing is not None:
        said += f", which share{_shared(credit.sharing)}"
    return f"{said}."


def _percent(weight: Fraction) -> str:
    percent = written(weight * 100)
    return written(weight) if "/" in percent else f"{percent}%"


def _shared(sharing: Sharing | Proportionally) -> str:
    if isinstance(sharing, Equally):
        return " equally"
    if isinstance(sharing, Proportionally):
        return " in proportion to their weights"
    half_life = duration_text(sharing.half_life).removeprefix("1 ")
    return f" by recency: what each gets halves with every {half_life} of age"


def _touches(condition: Condition) -> str:
    if isinstance(condition, Selector):
        return _whom(condition)
    return f"touches that are {_which(condition)}"


def _whom(selector: Selector) -> str:
    match selector.name, selector.argument:
        case "milestone", str(name):
            return f'the touch that led to "{name}"'
        case "touch", int(number):
            end = "start" if number > 0 else "end"
            return f"touch {abs(number)} from the {end}"
    return _NAMES[selector.name]


def _which(condition: Condition) -> str:
    match condition:
        case Selector():
            return (
                f"among {_whom(condition)}"
                if not condition.single
                else _whom(condition)
            )
        case Channel(names=names):
            return f"of channel {_listed(names)}"
        case Age(comparison=comparison, duration=duration):
            return _COMPARED[comparison].format(duration_text(duration))
        case Not(condition=inner):
            return f"not {_inside(inner)}"
        case Both(conditions=inners):
            return " and ".join(map(_inside, inners))
        case Either(conditions=inners):
            return " or ".join(map(_inside, inners))


def _inside(condition: Condition) -> str:
    text = _which(condition)
    return f"({text})" if isinstance(condition, Both | Either) else text


def _listed(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)
