"""Sets of channels: who met which, and how the worth of a set is shared out fairly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import comb, lcm
from operator import add, mul
from typing import Final, NamedTuple, TypeAlias

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.paths import PathTable
from mbuzz.server.attribution.weights import Weights, weigh, weigh_floats

# Distinct channels, sorted.
Coalition: TypeAlias = tuple[str, ...]
# From a set of channels to the share of each; empty where there is nothing to go by.
Shares: TypeAlias = Callable[[frozenset[str]], Mapping[str, float]]

_SIZES_KEPT: Final = 16


class Outcomes(NamedTuple):
    """What became of the journeys that met one set of channels."""

    journeys: int
    conversions: int
    revenue: int  # in millionths of the currency unit


def count_coalitions(table: PathTable) -> dict[Coalition, Outcomes]:
    """Return the outcomes of each set of channels that was met, the sets sorted."""
    nulls: dict[frozenset[str], int] = {}
    for path, times in table.nulls.items():
        met = frozenset(path)
        nulls[met] = nulls.get(met, 0) + times
    converted: dict[frozenset[str], tuple[int, int]] = {}
    for path, conversions, revenue in table.converting():
        met = frozenset(path)
        before = converted.get(met, (0, 0))
        converted[met] = before[0] + conversions, before[1] + revenue
    found = {}
    for coalition, met in sorted(
        (tuple(sorted(met)), met) for met in nulls.keys() | converted.keys()
    ):
        conversions, revenue = converted.get(met, (0, 0))
        found[coalition] = Outcomes(
            nulls.get(met, 0) + conversions, conversions, revenue
        )
    return found


def shapley_values(worths: Sequence[float]) -> list[float]:
    """Return each player's share of what all of them together are worth.

    Args:
        worths: Of each coalition, in the order of the whole numbers whose bits are the
            players; the first, of nobody, is 0.

    Source: Shapley, "A value for n-person games" (1953).
    """
    players = (len(worths) - 1).bit_length()
    gains, costs = _coefficients(players)
    base = sum(map(mul, worths, costs))
    values = list(map(mul, worths, gains))
    found = []
    # The upper half of the coalitions has the last player; without him, each is like
    # its counterpart in the lower half.
    for _ in range(players):
        half = len(values) // 2
        lower, upper = values[:half], values[half:]
        found.append(sum(upper) - base)
        values = list(map(add, lower, upper))
    return found[::-1]


def member_weights(members: int, players: int) -> tuple[float, float]:
    """Return what a coalition's worth counts to members, and against all others.

    The Shapley value of a player is the sum over coalitions of their worth, times the
    first if he is in it, else less the second.
    """
    others = players - 1
    gain = 1 / (players * comb(others, members - 1)) if members else 0.0
    cost = 1 / (players * comb(others, members)) if members < players else 0.0
    return gain, cost


def weigh_by_presence(journey: Journey) -> Weights:
    """Return equal weights for distinct channels, each split over its touchpoints.

    Source: the Shapley value of the game in which a set of channels is worth the
    conversions of all who met no other; Zhao, Mahboobi and Bagheri, "Shapley value
    methods for attribution modeling in online advertising" (2018), who show that it has
    this form.
    """
    times = Counter(journey.channels)
    whole = lcm(*times.values())
    parts = [whole // times[channel] for channel in journey.channels]
    return weigh(parts, whole * len(times))


def weigh_by_share(shares: Mapping[str, float], journey: Journey) -> Weights:
    """Return the *shares* of channels, from 0 to 1, split over their touchpoints.

    A channel that has none gets 0. Where none of the journey's channels has more than
    0, they are equal as in `weigh_by_presence`.
    """
    times = Counter(journey.channels)
    each = {channel: shares.get(channel, 0.0) / times[channel] for channel in times}
    if not any(each.values()):
        return weigh_by_presence(journey)
    return weigh_floats([each[channel] for channel in journey.channels])


def floored(values: Mapping[str, float]) -> dict[str, float]:
    """Return *values* as shares of 1, the negative ones as 0; nothing if none is left.

    A channel that lowers conversions owes nobody a credit.
    """
    whole = sum(value for value in values.values() if value > 0)
    if not whole > 0:
        return {}
    return {channel: max(value, 0.0) / whole for channel, value in values.items()}


@lru_cache(_SIZES_KEPT)
def _coefficients(players: int) -> tuple[list[float], list[float]]:
    """Return what each coalition's worth counts to a member, net, and to everybody."""
    sums = [member_weights(members, players) for members in range(players + 1)]
    sizes = [0]
    for _ in range(players):
        sizes += [size + 1 for size in sizes]
    costs = [sums[size][1] for size in sizes]
    return [sum(sums[size]) for size in sizes], costs
