"""From a program to a model: what every statement does, made once for all journeys."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from mbuzz.server.attribution.dsl.formatter import selector_text
from mbuzz.server.attribution.dsl.parser import parse
from mbuzz.server.attribution.dsl.positions import (
    Choose,
    Touches,
    meeting,
    positions,
    selecting,
)
from mbuzz.server.attribution.dsl.syntax import (
    UNITS_MS,
    Age,
    Channel,
    CreditTo,
    Distribute,
    Exclude,
    Lookback,
    Otherwise,
    Program,
    Recency,
    Selector,
    Sharing,
    Statement,
    WeightBy,
    walk,
)
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.models import Model
from mbuzz.server.attribution.rules import milestone, time_decay
from mbuzz.server.attribution.weights import Weigh, Weights, weigh

MOST_TOUCHES: Final = 10_000  # of one journey; the latest count
_KEPT: Final = 1024  # divisions of one model, each of so few touchpoints:
_SHORT: Final = 16
# Of a share by recency, from 0 to 1, as a whole number; see `weigh_floats`.
_FINENESS: Final = 1 << 62

# What each of some positions, in order, gets of how much.
_Share = Callable[[Journey, Sequence[int]], tuple[Sequence[int], int]]


def compile_program(source: str, key: str = "custom", version: int = 1) -> Model:
    """Return the model that *source* says, to be called *key*.

    Of a journey of more than `MOST_TOUCHES` it sees the latest.

    Raises:
        ProgramError: If it is no valid program.
    """
    return compile_parsed(parse(source), key, version)


def compile_parsed(program: Program, key: str = "custom", version: int = 1) -> Model:
    """Return the model of a program that `parse` or `from_json` has returned."""
    statements = program.statements
    lookback_ms = None
    excluded: list[Choose] = []
    for statement in statements:
        match statement:
            case Lookback(duration=duration):
                lookback_ms = math.floor(duration.milliseconds)
            case Exclude(condition=condition):
                excluded.append(meeting(condition))
    return Model(
        key=key,
        weigh=weighing(statements),
        version=version,
        lookback_ms=lookback_ms,
        keep=_keeping(excluded),
    )


def weighing(statements: Sequence[Statement]) -> Weigh:
    """Return how a program weighs the touchpoints that count."""
    read = [
        one
        for one in statements
        if isinstance(one, CreditTo | Otherwise | WeightBy | Distribute)
    ]
    gives = any(isinstance(one, CreditTo) for one in read)
    divide = _crediting(read) if gives else _multiplying(read)
    parts = list(walk(tuple(read)))
    if any(isinstance(part, Age | Recency) for part in parts):
        return divide
    names = {
        part.argument
        for part in parts
        if isinstance(part, Selector) and part.name == "milestone"
    }
    by_channel = any(isinstance(part, Channel) for part in parts)
    return _kept(divide, sorted(map(str, names)), by_channel=by_channel)


def _kept(divide: Weigh, milestones: Sequence[str], *, by_channel: bool) -> Weigh:
    """Have a model that asks for no times divide each kind of short journey once."""
    known: dict[tuple[object, ...], Weights] = {}

    def look(journey: Journey) -> Weights:
        channels = journey.channels
        if len(channels) > _SHORT:
            return divide(journey)
        shape = (
            channels if by_channel else len(channels),
            *[milestone(journey, name) for name in milestones],
        )
        found = known.get(shape)
        if found is None:
            found = divide(journey)
            if len(known) < _KEPT:
                known[shape] = found
        return found

    return look


def _keeping(excluded: Sequence[Choose]) -> Callable[[Journey], Sequence[int]]:
    """Return which touchpoints are left; all if otherwise none were."""

    def keep(journey: Journey) -> Sequence[int]:
        size = len(journey.channels)
        latest = range(max(size - MOST_TOUCHES, 0), size)
        if not excluded:
            return latest
        touches = Touches(journey.only(latest) if latest.start else journey)
        gone = 0
        for choose in excluded:
            gone |= choose(touches)
        if gone in (0, touches.all):
            return latest
        return [latest[position] for position in positions(touches.all & ~gone)]

    return keep


class _Factor(NamedTuple):
    """A weight of some touchpoints, as a fraction."""

    choose: Choose
    numerator: int
    denominator: int


def _multiplying(statements: Sequence[Statement]) -> Weigh:
    """Return how weights multiply, and recency with them."""
    factors = [
        _Factor(meeting(one.condition), *one.weight.as_integer_ratio())
        for one in statements
        if isinstance(one, WeightBy)
    ]
    recency = next(
        (
            one.sharing
            for one in statements
            if isinstance(one, Distribute) and isinstance(one.sharing, Recency)
        ),
        None,
    )
    if recency is not None and not factors:
        days = recency.half_life.milliseconds / UNITS_MS["day"]
        return partial(time_decay, half_life_days=float(days))
    # What weights may make of it: so much finer are shares by recency here.
    spread = sum(max(above, below).bit_length() for _, above, below in factors)
    share = None if recency is None else _recently(recency, spread)
    scale = math.prod(factor.denominator for factor in factors)

    def weigh_by_weights(journey: Journey) -> Weights:
        touches = Touches(journey)
        parts, whole = [1] * touches.size, scale
        if share is not None:
            amounts, _ = share(journey, range(touches.size))
            parts, whole = list(amounts), scale * _FINENESS << spread
        for choose, numerator, denominator in factors:
            chosen = choose(touches)
            for position in positions(chosen):
                parts[position] *= numerator
            if denominator != 1:
                for position in positions(touches.all & ~chosen):
                    parts[position] *= denominator
        return weigh(parts, whole)

    return weigh_by_weights


class _Credit(NamedTuple):
    """A credit statement, its weight a whole number among those of its model.

    *choose* is None for the touchpoints that no other statement chooses.
    """

    choose: Choose | None
    where: Choose | None
    weight: int
    share: _Share
    role: str


def _crediting(statements: Sequence[Statement]) -> Weigh:
    """Return how credits are given to sets of touchpoints."""
    given = [one for one in statements if isinstance(one, CreditTo)]
    scale = math.lcm(*(credit.weight.denominator for credit in given))
    compiled = [_compiled(credit, scale) for credit in given]
    otherwise = next(
        (_fallback(one.share) for one in statements if isinstance(one, Otherwise)), None
    )

    def weigh_by_credits(journey: Journey) -> Weights:
        touches = Touches(journey)
        chosen = _chosen(compiled, touches)
        filled = [
            (credit, positions(those))
            for credit, those in zip(compiled, chosen, strict=True)
            if those
        ]
        if not filled:
            assert otherwise is not None, "the validator sees to it"
            return otherwise(journey)
        shares = [credit.share(journey, those) for credit, those in filled]
        fold = math.lcm(*(of for _, of in shares))
        parts = [0] * touches.size
        roles: list[list[str]] = [[] for _ in parts]
        for (credit, those), (amounts, of) in zip(filled, shares, strict=True):
            unit = credit.weight * (fold // of)
            for position, amount in zip(those, amounts, strict=True):
                parts[position] += unit * amount
                if credit.role not in roles[position]:
                    roles[position].append(credit.role)
        return weigh(parts, scale * fold, ["+".join(role) for role in roles])

    return weigh_by_credits


def _compiled(credit: CreditTo, scale: int) -> _Credit:
    others = credit.selector.name == "other_touches"
    return _Credit(
        choose=None if others else selecting(credit.selector),
        where=None if credit.condition is None else meeting(credit.condition),
        weight=int(credit.weight * scale),
        share=_sharing(credit.sharing),
        role=selector_text(credit.selector),
    )


def _chosen(credits_given: Sequence[_Credit], touches: Touches) -> list[int]:
    """Return the set of each statement; what is left over is known at the end."""
    chosen = []
    left = touches.all
    for choose, where, *_ in credits_given:
        those = touches.all if choose is None else choose(touches)
        if where is not None:
            those &= where(touches)
        if choose is not None:
            left &= ~those
        chosen.append(those)
    return [
        those if credit.choose is not None else those & left
        for credit, those in zip(credits_given, chosen, strict=True)
    ]


def _fallback(share: Selector | Sharing) -> Weigh:
    """Return how the credit is given where no statement has a touchpoint."""
    choose = selecting(share if isinstance(share, Selector) else _ALL)
    divide = _sharing(None if isinstance(share, Selector) else share)

    def weigh_otherwise(journey: Journey) -> Weights:
        touches = Touches(journey)
        those = positions(choose(touches))
        parts, roles = [0] * touches.size, [""] * touches.size
        amounts, scale = divide(journey, those)
        for position, amount in zip(those, amounts, strict=True):
            parts[position], roles[position] = amount, "otherwise"
        return weigh(parts, scale, roles)

    return weigh_otherwise


_ALL: Final = Selector(name="all_touches")


def _sharing(sharing: Sharing | None) -> _Share:
    if isinstance(sharing, Recency):
        return _recently(sharing)
    return lambda _, those: ((1,) * len(those), len(those))


def _recently(recency: Recency, spread: int = 0) -> _Share:
    """Return how touchpoints share by age.

    Ages are counted from the youngest that shares, which changes no share. Amounts are
    in 2 to the power of *spread* times `_FINENESS`, whatever a float could hold.

    Source: ``2 ** (-age / half_life)``.
    """
    half_life_ms = float(recency.half_life.milliseconds)

    def share(journey: Journey, those: Sequence[int]) -> tuple[Sequence[int], int]:
        times_ms = journey.times_ms
        last_ms = times_ms[those[-1]]
        amounts = [
            _halved((times_ms[position] - last_ms) / half_life_ms, spread)
            for position in those
        ]
        return amounts, sum(amounts)

    return share


def _halved(exponent: float, spread: int) -> int:
    """Return 2 to an *exponent* of 0 or less as a whole number, see `_recently`."""
    whole = math.floor(exponent)
    amount = int(math.exp2(exponent - whole) * _FINENESS)
    shift = whole + spread
    return amount << shift if shift >= 0 else amount >> -shift
