"""The parts of a program: what `parse` and `from_json` make, and all others read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

SINGLE: Final = ("first_touch", "last_touch", "milestone", "touch")
SEVERAL: Final = ("middle_touches", "all_touches", "other_touches")
SELECTORS: Final = SINGLE + SEVERAL
# What a condition may begin with: "the others" are no property of a touch.
CONDITIONS: Final = ("channel", "age", *SELECTORS[:-1])
COMPARISONS: Final = ("<", "<=", ">", ">=")
UNITS_MS: Final = MappingProxyType(
    {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 604_800_000}
)
# By the word a program may use, the name of the unit.
UNITS: Final = MappingProxyType(
    {word: unit for unit in UNITS_MS for word in (unit, f"{unit}s")}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comments:
    """What people noted at a line: above it, and at its end; without the ``#``."""

    leading: tuple[str, ...] = ()
    trailing: str | None = None


NO_COMMENTS: Final = Comments()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A time as it is written: *amount* of a *unit* of `UNITS_MS`."""

    amount: Fraction
    unit: str

    @property
    def milliseconds(self) -> Fraction:
        """How long it is."""
        return self.amount * UNITS_MS[self.unit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Touches by their position: one of `SELECTORS`.

    *argument* is the name of a milestone, the number of a touch, or None.
    """

    name: str
    argument: str | int | None = None

    @property
    def single(self) -> bool:
        """Whether it is one touch at most."""
        return self.name in SINGLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Touches of any of these channels."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """Touches that were so long before the conversion."""

    comparison: str
    duration: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """Touches that do not meet a condition."""

    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """Touches that meet all of two or more conditions, none of them a `Both`."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """Touches that meet any of two or more conditions, none of them an `Either`."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = Selector | Channel | Age | Not | Both | Either


def both(conditions: Iterable[Condition]) -> Condition:
    """Return what is met where all of one or more *conditions* are."""
    return _joined(Both, conditions)


def either(conditions: Iterable[Condition]) -> Condition:
    """Return what is met where any of one or more *conditions* is."""
    return _joined(Either, conditions)


def _joined(
    join: type[Both] | type[Either], conditions: Iterable[Condition]
) -> Condition:
    """Join conditions; those of the same kind inside need no parentheses."""
    flat: list[Condition] = []
    for condition in conditions:
        flat += condition.conditions if isinstance(condition, join) else (condition,)
    return join(conditions=tuple(flat)) if len(flat) > 1 else flat[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equally:
    """The same to each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportionally:
    """To each by its weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recency:
    """To each what halves with every *half_life* before the conversion."""

    half_life: Duration


Sharing: TypeAlias = Equally | Recency


@dataclass(frozen=True, slots=True, kw_only=True)
class Describe:
    """What people should know of the model."""

    kind: Literal["describe"] = field(default="describe", init=False)
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookback:
    """How long before the conversion touches count."""

    kind: Literal["lookback"] = field(default="lookback", init=False)
    duration: Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclude:
    """Touches that do not count, as long as there are others."""

    kind: Literal["exclude"] = field(default="exclude", init=False)
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditTo:
    """A part of the credit, from 0 to 1, for a set of touches.

    *sharing* is None exactly where the selector is of a single touch.
    """

    kind: Literal["credit"] = field(default="credit", init=False)
    selector: Selector
    condition: Condition | None = None
    weight: Fraction
    sharing: Sharing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """Who gets the credit where no set has a touch."""

    kind: Literal["otherwise"] = field(default="otherwise", init=False)
    share: Selector | Sharing


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightBy:
    """What the weight of some touches is multiplied by."""

    kind: Literal["weight"] = field(default="weight", init=False)
    condition: Condition
    weight: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribute:
    """How all touches share the credit."""

    kind: Literal["distribute"] = field(default="distribute", init=False)
    sharing: Sharing | Proportionally


Statement: TypeAlias = (
    Describe | Lookback | Exclude | CreditTo | Otherwise | WeightBy | Distribute
)
STATEMENTS: Final = (
    *("describe", "lookback", "exclude", "credit", "otherwise", "weight", "distribute"),
)
ONCE: Final = frozenset({"describe", "lookback", "otherwise", "distribute"})
# Words that hold sentences together, and so are no names of anything.
RESERVED: Final = frozenset(
    {
        *STATEMENTS,
        *("model", "end", "where", "with", "by", "and", "or", "not"),
        *("equally", "proportionally", "recency"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A statement and its comments."""

    statement: Statement
    comments: Comments = NO_COMMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A model: its name, its statements, and the comments all around.

    *comments* are those of the first line, *end* those of the last, *after* below it.
    """

    name: str
    lines: tuple[Line, ...]
    comments: Comments = NO_COMMENTS
    end: Comments = NO_COMMENTS
    after: tuple[str, ...] = ()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The statements, in order."""
        return tuple(line.statement for line in self.lines)


def walk(part: object) -> Iterator[object]:
    """Yield a part of a program and all that it is made of."""
    if isinstance(part, tuple):
        for one in part:
            yield from walk(one)
    else:
        yield part
        if is_dataclass(part):
            for each in fields(part):
                yield from walk(getattr(part, each.name))
