"""The Shapley model: each channel's fair share of the rate at which a set converts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, takewhile
from typing import Final, NamedTuple

from mbuzz.server.attribution.coalitions import (
    Coalition,
    Shares,
    count_coalitions,
    floored,
    member_weights,
    shapley_values,
    weigh_by_presence,
    weigh_by_share,
)
from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.paths import NoConversionsError, PathTable
from mbuzz.server.attribution.weights import Weights

__all__ = ["Rate", "ShapleyModel", "shares_of", "train", "weigh_by_presence"]

# Coalitions looked at for all sets together, which takes some seconds; and for one set
# where these are not nearly used up.
_MOST_STEPS: Final = 40_000_000
_STEPS_OF_ONE: Final = 4096


class Rate(NamedTuple):
    """How many of the journeys that met exactly these channels converted: one at least.

    Of the rates of a model, the rest of the sets is worth nothing.
    """

    channels: Coalition
    journeys: int
    conversions: int


class RateGame:
    """The game in which a set of channels is worth the rate at which it converted."""

    __slots__ = ("_bits", "_most_steps", "_worths")

    def __init__(self, rates: Sequence[Rate]) -> None:
        names = sorted({channel for rate in rates for channel in rate.channels})
        self._bits = {channel: 1 << index for index, channel in enumerate(names)}
        self._worths = {
            sum(self._bits[channel] for channel in rate.channels): (
                rate.conversions / rate.journeys
            )
            for rate in rates
        }
        # Large sets take most steps, so the small ones go first, as far as they get.
        steps = sorted(self._steps(len(rate.channels)) for rate in rates)
        done = sum(1 for _ in takewhile(_MOST_STEPS.__ge__, accumulate(steps)))
        if done == len(steps):
            self._most_steps = max(_STEPS_OF_ONE, *steps[-1:])
        else:
            refused = bisect_left(steps, steps[done])
            self._most_steps = steps[refused - 1] if refused else 0

    def values(self, channels: Coalition) -> dict[str, float]:
        """Return the Shapley value of each of *channels* in the game among them.

        A set that never converted is as good as the best of those in it, since a
        conversion of it is what is to be shared now. Empty where none of these is
        worth anything, and for sets so large that it would take too long.
        """
        known = [channel for channel in channels if channel in self._bits]
        if self._steps(len(known)) > self._most_steps:
            return {}
        bits = [self._bits[channel] for channel in known]
        whole = sum(bits)
        if 1 << len(bits) <= len(self._worths):
            masks = [0]
            for bit in bits:
                masks += [mask | bit for mask in masks]
            worths = [self._worths.get(mask, 0.0) for mask in masks]
            worths[-1] = worths[-1] or max(worths)
            values = shapley_values(worths)
        else:
            inside = {
                mask: worth
                for mask, worth in self._worths.items()
                if mask | whole == whole
            }
            if not inside:
                return {}
            inside.setdefault(whole, max(inside.values()))
            values = _values(bits, inside)
        found = dict.fromkeys(channels, 0.0)
        found.update(zip(known, values, strict=True))
        return found

    def _steps(self, channels: int) -> int:
        """Return how many coalitions are looked at for a set of so many channels."""
        return min(1 << channels, len(self._worths))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapleyModel:
    """What sets of channels were found to be worth.

    Attributes:
        channels: All that were met, sorted.
        rates: Of the sets that converted, sorted.
        raw_conversions: Conversions by channel before negative shares were cut to 0;
            they sum to all conversions.
        raw_revenue: The same of revenue, in millionths of the currency unit.
        shares: What each channel of a set gets of its conversions.
        too_large: How many sets have too many channels to tell them apart.
    """

    channels: Sequence[str]
    rates: Sequence[Rate]
    raw_conversions: Mapping[str, float]
    raw_revenue: Mapping[str, float]
    shares: Shares
    too_large: int

    def weigh(self, journey: Journey) -> Weights:
        """Return each touchpoint's weight: its channel's share, split over all of it.

        Of a set that never converted the best of the sets in it says what it is worth.
        Channels that never converted get nothing beside others. Where there is nothing
        to go by, all channels are equal.
        """
        return weigh_by_share(self.shares(frozenset(journey.channels)), journey)


def shares_of(rates: Sequence[Rate]) -> Shares:
    """Return what gives the shares of each channel of a set, by the *rates* of sets."""
    game = RateGame(rates)
    return lambda channels: floored(game.values(tuple(sorted(channels))))


def train(table: PathTable) -> ShapleyModel:
    """Return what *table* says of the worth of channels together.

    Raises:
        NoConversionsError: If no path converted.

    Source: Shapley (1953); the game as in the package marketing-attribution-models.
    """
    outcomes = count_coalitions(table)
    rates = [
        Rate(channels, outcome.journeys, outcome.conversions)
        for channels, outcome in outcomes.items()
        if outcome.conversions
    ]
    if not rates:
        raise NoConversionsError
    game = RateGame(rates)
    names = tuple(sorted(set(chain.from_iterable(outcomes))))
    raw_conversions = dict.fromkeys(names, 0.0)
    raw_revenue = dict.fromkeys(names, 0.0)
    too_large = 0
    for channels, journeys, conversions in rates:
        values = game.values(channels)
        worth = conversions / journeys
        if not values:
            too_large += 1
            values = dict.fromkeys(channels, worth / len(channels))
        for channel, value in values.items():
            share = value / worth
            raw_conversions[channel] += conversions * share
            raw_revenue[channel] += outcomes[channels].revenue * share
    return ShapleyModel(
        channels=names,
        rates=rates,
        raw_conversions=raw_conversions,
        raw_revenue=raw_revenue,
        shares=shares_of(rates),
        too_large=too_large,
    )


def _values(bits: Sequence[int], worths: Mapping[int, float]) -> list[float]:
    """Return the Shapley value of each player, given all *worths* that are not 0."""
    players = len(bits)
    sizes = {mask.bit_count() for mask in worths}
    weights = {members: member_weights(members, players) for members in sizes}
    found, base = [0.0] * players, 0.0
    for mask, worth in worths.items():
        gain, cost = weights[mask.bit_count()]
        base += worth * cost
        share = worth * (gain + cost)
        for index, bit in enumerate(bits):
            if mask & bit:
                found[index] += share
    return [value - base for value in found]
