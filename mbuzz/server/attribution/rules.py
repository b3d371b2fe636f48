"""The rule-based models: a touchpoint's weight follows from when it was."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import exp2
from types import MappingProxyType
from typing import Final, TypeVarTuple

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.weights import Weigh, Weights, weigh, weigh_floats

HALF_LIFE_DAYS: Final = 7.0
_DAY_MS: Final = 86_400_000
_Rest = TypeVarTuple("_Rest")
# Weights of roles, and of all other touchpoints together, in fortieths: whole numbers
# are exact. Sources: 40/20/40 as Adobe and Snowplow have it; W and Z after Marketo
# Measure's "W-shaped" and "full path", in HubSpot's weights.
_FORTIETHS: Final = 40
_SHAPES: Final[Mapping[str, Mapping[str, int]]] = {
    "u_shaped": {"first_touch": 16, "last_touch": 16, "other": 8},
    "w_shaped": {"first_touch": 12, "mql": 12, "last_touch": 12, "other": 4},
    "z_shaped": {"first_touch": 9, "mql": 9, "sql": 9, "last_touch": 9, "other": 4},
}

# Divisions that were seen are kept, so many of them, of journeys so long.
_KEPT: Final = 4096
_SHORT: Final = 64


def first_touch(journey: Journey) -> Weights:
    """Return the weights that give everything to where the journey began."""
    return _one(len(journey.channels), 0, "first_touch")


def last_touch(journey: Journey) -> Weights:
    """Return the weights that give everything to the last one, direct or not."""
    length = len(journey.channels)
    return _one(length, length - 1, "last_touch")


def linear(journey: Journey) -> Weights:
    """Return equal weights: a channel met twice counts twice."""
    return _equal(len(journey.channels))


def time_decay(journey: Journey, half_life_days: float = HALF_LIFE_DAYS) -> Weights:
    """Return weights that halve with every *half_life_days* before the last one.

    Counted from the conversion the shares would be the same, all weights having one
    factor more; but a long time after the last one they would all be too small.

    Source: ``2 ** (-age / half_life)``.
    """
    times_ms = journey.times_ms
    if len(times_ms) == 1:
        return _equal(1)
    last_ms, half_life_ms = times_ms[-1], half_life_days * _DAY_MS
    return weigh_floats(
        [exp2((time_ms - last_ms) / half_life_ms) for time_ms in times_ms]
    )


def u_shaped(journey: Journey) -> Weights:
    """Return .4 for the first, .4 for the last, .2 for all between them together."""
    return _shaped(len(journey.channels), "u_shaped", None, None)


def w_shaped(journey: Journey) -> Weights:
    """Return .3 for the first, the one that led to ``mql``, the last; .1 for others."""
    mql = milestone(journey, "mql")
    return _shaped(len(journey.channels), "w_shaped", mql, None)


def z_shaped(journey: Journey) -> Weights:
    """Return .225 for the first, for ``mql``, ``sql`` and the last; .1 for others."""
    mql, sql = milestone(journey, "mql"), milestone(journey, "sql")
    return _shaped(len(journey.channels), "z_shaped", mql, sql)


RULES: Final[Mapping[str, Weigh]] = MappingProxyType(
    {
        "first_touch": first_touch,
        "last_touch": last_touch,
        "linear": linear,
        "time_decay": time_decay,
        "u_shaped": u_shaped,
        "w_shaped": w_shaped,
        "z_shaped": z_shaped,
    }
)


# The events that some of them ask for.
MILESTONES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"w_shaped": frozenset({"mql"}), "z_shaped": frozenset({"mql", "sql"})}
)


def milestone(journey: Journey, name: str) -> int | None:
    """Return the position of the touchpoint that led to a milestone: the last up to it.

    None where the milestone was not reached, or before all of them.
    """
    at_ms = journey.milestones.get(name)
    if at_ms is None:
        return None
    if journey.converted_at_ms is not None and at_ms > journey.converted_at_ms:
        return None
    position = bisect_right(journey.times_ms, at_ms) - 1
    return position if position >= 0 else None


def _kept(
    divide: Callable[[int, *_Rest], Weights],
) -> Callable[[int, *_Rest], Weights]:
    """Have a division of short journeys, by their length, done once for each kind."""
    known = lru_cache(_KEPT)(divide)

    def look(length: int, *rest: *_Rest) -> Weights:
        return known(length, *rest) if length <= _SHORT else divide(length, *rest)

    return look


@_kept
def _one(length: int, position: int, role: str) -> Weights:
    parts, roles = [0] * length, [""] * length
    parts[position], roles[position] = 1, role
    return weigh(parts, 1, roles)


@_kept
def _equal(length: int) -> Weights:
    return weigh([1] * length)


@_kept
def _shaped(length: int, shape: str, mql: int | None, sql: int | None) -> Weights:
    """Divide by roles: who has several gets their sum, who has none shares the rest.

    The weights of roles that nobody has, and the rest if nobody is left for it, go to
    the others in proportion.
    """
    weights = _SHAPES[shape]
    holders = {"first_touch": 0, "mql": mql, "sql": sql, "last_touch": length - 1}
    roles: list[list[str]] = [[] for _ in range(length)]
    for role in weights:
        holder = holders.get(role)
        if holder is not None:
            roles[holder].append(role)
    # Times the number of those that share the rest, so that its parts are whole too.
    fold = sum(not held for held in roles) or 1
    parts = [
        sum(weights[role] for role in held) * fold if held else weights["other"]
        for held in roles
    ]
    names = ["+".join(held) or "other" for held in roles]
    return weigh(parts, _FORTIETHS * fold, names)
