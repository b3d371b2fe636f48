"""The Markov model: what conversions would be lost if a channel led nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from typing import Final

from mbuzz.server.attribution.journeys import Journey
from mbuzz.server.attribution.paths import NoConversionsError, PathTable
from mbuzz.server.attribution.removal import removals
from mbuzz.server.attribution.weights import Weights, weigh_floats
from mbuzz.server.attribution.windows import WalkCounts

ORDERS: Final = (1, 2, 3, 4)
START: Final = "(start)"
CONVERSION: Final = "(conversion)"
NULL: Final = "(null)"
# Rows of transitions that are kept to be shown, and entries of each.
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkovModel:
    """What was learned of each channel's part in a chain of so many channels' memory.

    Attributes:
        order: How many channels back decide where a walk goes next.
        channels: All that were met, sorted.
        removal_effects: The share of conversions that would be lost without a channel,
            from 0 to 1.
        value_removal_effects: The same of revenue; 0 where there is none.
        estimated: Channels whose effects are estimates, there being very many.
        conversion_probability: Conversions for each journey.
        states: The number of windows.
        conversions: How many were learned from.
        revenue: What these brought, in millionths of the currency unit.
        transitions: Where walks go from their start and from the most visited windows,
            the most probable first, as probabilities.
    """

    order: int
    channels: Sequence[str]
    removal_effects: Mapping[str, float]
    value_removal_effects: Mapping[str, float]
    estimated: Sequence[str]
    conversion_probability: float
    states: int
    conversions: int
    revenue: int
    transitions: Mapping[str, Mapping[str, float]]

    def channel_conversions(self) -> dict[str, float]:
        """Return all conversions shared by removal effect, as ChannelAttribution does.

        The sums of credits differ: they share each conversion among its own journey.
        """
        return _shared(self.conversions, self.removal_effects)

    def channel_revenue(self) -> dict[str, float]:
        """Return all revenue shared by the effects on it, in millionths of the unit."""
        return _shared(self.revenue, self.value_removal_effects)

    def weigh(self, journey: Journey) -> Weights:
        """Return each touchpoint's weight, the removal effect of its channel."""
        return weigh_by_channel(self.removal_effects, journey)


def weigh_by_channel(weights: Mapping[str, float], journey: Journey) -> Weights:
    """Return for each touchpoint what *weights* says of its channel, else 0.

    Where that is 0 for all of them, they are equal.
    """
    return weigh_floats([weights.get(channel, 0.0) for channel in journey.channels])


def train(table: PathTable, order: int = 1) -> MarkovModel:
    """Return what a chain of *order*, 1 to 4, says of the paths in *table*.

    Raises:
        ValueError: If *order* is not one of these.
        NoConversionsError: If no path converted.

    Source: Anderl, Becker, von Wangenheim and Schumann, "Mapping the customer journey",
    International Journal of Research in Marketing 33 (2016).
    """
    if order not in ORDERS:
        raise ValueError(f"order must be 1, 2, 3 or 4, got {order!r}")
    conversions, revenue = table.conversions, table.revenue
    if not conversions:
        raise NoConversionsError
    found = removals(table, order)
    losses = found.losses
    return MarkovModel(
        order=order,
        channels=tuple(losses),
        removal_effects={
            channel: _share(loss.conversions, conversions)
            for channel, loss in losses.items()
        },
        value_removal_effects={
            channel: _share(loss.revenue, revenue) for channel, loss in losses.items()
        },
        estimated=found.estimated,
        conversion_probability=conversions / table.journeys,
        states=len(found.counts.states),
        conversions=conversions,
        revenue=revenue,
        transitions=_transitions(found.counts),
    )


def _share(part: float, total: int) -> float:
    """Return *part* of *total*, within what rounding blurs; of nothing none."""
    return min(max(part / total, 0.0), 1.0) if total else 0.0


def _shared(total: int, effects: Mapping[str, float]) -> dict[str, float]:
    whole = sum(effects.values())
    return {
        channel: total * effect / whole if whole else 0.0
        for channel, effect in effects.items()
    }


def _transitions(counts: WalkCounts) -> dict[str, dict[str, float]]:
    names = [" > ".join(window) for window in counts.states]
    visits = counts.visits()
    walks = sum(counts.entries)
    found = {START: _most_probable(zip(names, counts.entries, strict=True), walks)}
    most = nlargest(_SHOWN, range(len(names)), key=visits.__getitem__)
    for state in most:
        row = {names[target]: times for target, times in counts.moves[state].items()}
        row |= {CONVERSION: counts.conversions[state], NULL: counts.nulls[state]}
        found[names[state]] = _most_probable(row.items(), visits[state])
    return found


def _most_probable(row: Iterable[tuple[str, int]], total: int) -> dict[str, float]:
    most = nlargest(_SHOWN, row, key=itemgetter(1))
    return {name: times / total for name, times in most if times}
