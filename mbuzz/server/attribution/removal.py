"""What walks along a Markov chain would no longer bring if a channel led nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from operator import add, mul, truediv
from typing import Final, NamedTuple

from mbuzz.server.attribution.absorption import Elimination, Sweeps
from mbuzz.server.attribution.paths import Path, PathTable
from mbuzz.server.attribution.windows import WalkCounts, count_walks

# So few states are taken out one by one.
_FEW: Final = 300
# Of states and their moves, each time they are gone through: up to a minute's work.
_MOST_STEPS: Final = 600_000_000
_STEPS_OF_STATE: Final = 20  # as moves count


class Loss(NamedTuple):
    """What would be lost: conversions, and revenue in millionths of the unit."""

    conversions: float
    revenue: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Removals:
    """What each channel's removal costs.

    Attributes:
        counts: The walks that were reckoned with.
        losses: By channel, sorted.
        estimated: Channels whose arrivals were taken as observed, not as the chain has
            them: there are so many that this would have taken too long.
    """

    counts: WalkCounts
    losses: Mapping[str, Loss]
    estimated: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chain:
    """Probabilities of a chain, and the visits that it has: those it was made of."""

    visits: Sequence[int]
    entries: Sequence[int]
    moves: Sequence[Mapping[int, float]]
    leaving: Sequence[float]
    rewards: Sequence[Sequence[float]]  # of conversions, and of revenue, for a visit


def removals(table: PathTable, order: int) -> Removals:
    """Return the cost of each channel in *table*, to a chain of that *order*."""
    counts = count_walks(table, order)
    walks = _probabilities(counts)
    if order == 1 and len(counts.states) <= _FEW:
        return Removals(
            counts=counts,
            losses={
                channel: loss
                for (channel,), loss in zip(
                    counts.states, _losses_by_visits(walks), strict=True
                )
            },
            estimated=(),
        )
    channels = sorted(set(chain.from_iterable(counts.states)))
    containing: dict[str, list[int]] = {channel: [] for channel in channels}
    for state, window in enumerate(counts.states):
        for channel in set(window):
            containing[channel].append(state)
    found = _losses_by_removal(walks, containing)
    estimated = [channel for channel in channels if channel not in found]
    if estimated:
        found |= _losses_by_arrivals(walks, counts.states, table, estimated, order)
    return Removals(
        counts=counts,
        losses={channel: found[channel] for channel in channels},
        estimated=estimated,
    )


def _losses_by_visits(walks: _Chain) -> list[Loss]:
    """Return what goes by each state: who comes to it, once, times what they bring."""
    elimination = Elimination(walks.moves, walks.leaving)
    once = list(map(truediv, walks.visits, elimination.returns()))
    conversions, revenue = map(elimination.expectations, walks.rewards)
    return list(map(Loss, map(mul, once, conversions), map(mul, once, revenue)))


def _losses_by_removal(
    walks: _Chain, containing: Mapping[str, Collection[int]]
) -> dict[str, Loss]:
    """Return what is lost without the states of a channel, the most visited first.

    Those for which there is no time are left out.
    """
    met = {
        channel: sum(walks.visits[state] for state in states)
        for channel, states in containing.items()
    }
    steps = sum(map(len, walks.moves)) + _STEPS_OF_STATE * len(walks.visits)
    sweeps = Sweeps(walks.entries, walks.moves, walks.leaving, walks.visits)
    all_ = [sum(map(mul, walks.visits, reward)) for reward in walks.rewards]
    found = {}
    for channel in sorted(met, key=met.__getitem__, reverse=True):
        if sweeps.turns * steps >= _MOST_STEPS:
            break
        left = sweeps.visits_without(containing[channel])
        if left is not None:
            kept = [sum(map(mul, left, reward)) for reward in walks.rewards]
        elif len(walks.visits) <= _FEW:
            kept = _kept(walks, frozenset(containing[channel]))
        else:
            continue
        found[channel] = Loss(all_[0] - kept[0], all_[1] - kept[1])
    return found


def _kept(walks: _Chain, gone: Set[int]) -> list[float]:
    """Return what walks bring that end where they meet a state that is *gone*."""
    stay = [state for state in range(len(walks.visits)) if state not in gone]
    number = {state: index for index, state in enumerate(stay)}
    moves, leaving = [], []
    for state in stay:
        row = walks.moves[state]
        moves.append({number[key]: row[key] for key in row if key not in gone})
        lost = sum(chance for key, chance in row.items() if key in gone)
        leaving.append(walks.leaving[state] + lost)
    elimination = Elimination(moves, leaving)
    entries = [walks.entries[state] for state in stay]
    return [
        sum(map(mul, entries, elimination.expectations([of[key] for key in stay])))
        for of in walks.rewards
    ]


def _losses_by_arrivals(
    walks: _Chain,
    states: Sequence[Path],
    table: PathTable,
    channels: Collection[str],
    order: int,
) -> dict[str, Loss]:
    """Return what people who met a channel bring from there, as the chain has it."""
    sweeps = Sweeps(walks.entries, walks.moves, walks.leaving, walks.visits)
    conversions, revenue = map(sweeps.expectations, walks.rewards)
    number = {window: index for index, window in enumerate(states)}
    arrivals: dict[str, Counter[int]] = {channel: Counter() for channel in channels}
    converted = ((path, times) for path, times, _ in table.converting())
    for path, times in chain(table.nulls.items(), converted):
        met = set()
        for place, channel in enumerate(path):
            if channel in arrivals and channel not in met:
                met.add(channel)
                window = path[max(place + 1 - order, 0) : max(place + 1, order)]
                arrivals[channel][number[window]] += times
    return {
        channel: Loss(
            sum(times * conversions[state] for state, times in sorted(at.items())),
            sum(times * revenue[state] for state, times in sorted(at.items())),
        )
        for channel, at in arrivals.items()
    }


def _probabilities(counts: WalkCounts) -> _Chain:
    visits = counts.visits()
    ends = map(add, counts.conversions, counts.nulls)
    return _Chain(
        visits=visits,
        entries=counts.entries,
        moves=[
            {target: times / visited for target, times in row.items()}
            for row, visited in zip(counts.moves, visits, strict=True)
        ],
        leaving=list(map(truediv, ends, visits)),
        rewards=[
            list(map(truediv, counts.conversions, visits)),
            list(map(truediv, counts.revenues, visits)),
        ],
    )
