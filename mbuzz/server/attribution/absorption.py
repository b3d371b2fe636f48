"""Where a random walk ends that passes through states and leaves them some day."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from heapq import heapify, heappop, heappush
from operator import mul
from typing import Final, TypeAlias

from mbuzz.server.attribution.picking import Picker, picker

_MOST_TURNS: Final = 500
_CLOSE: Final = 1e-12  # of the largest value

# A state, what takes its neighbors' values, and their chances.
_Row: TypeAlias = tuple[int, Picker, Sequence[float]]


class Elimination:
    """The states of walks, taken out one by one until none is left.

    Taking one out joins whatever leads to it with whatever it leads to. Nothing is ever
    subtracted, so all figures keep nearly full precision, however long walks are.

    Source: Grassmann, Taksar and Heyman, "Regenerative analysis and steady state
    distributions for Markov chains", Operations Research 33 (1985); the least
    neighbors first, after Markowitz.
    """

    __slots__ = ("_after", "_before", "_order", "_outflow")

    def __init__(
        self, moves: Sequence[Mapping[int, float]], leaving: Sequence[float]
    ) -> None:
        """Take out all states.

        Args:
            moves: For each state the probabilities of others to be next.
            leaving: For each state the probability that the walk ends there. Some way
                out must be open to each.
        """
        rows = [
            {target: chance for target, chance in row.items() if target != state}
            for state, row in enumerate(moves)
        ]
        columns: list[dict[int, float]] = [{} for _ in rows]
        for state, row in enumerate(rows):
            for target, chance in row.items():
                columns[target][state] = chance
        left = list(leaving)
        # A place that a state may have a neighbor, even if only one way.
        near = [row.keys() | columns[state].keys() for state, row in enumerate(rows)]
        queue = [(len(around), state) for state, around in enumerate(near)]
        heapify(queue)
        self._order: list[int] = []
        self._outflow = [0.0] * len(rows)
        self._before: list[dict[int, float]] = columns
        self._after: list[dict[int, float]] = rows
        gone = [False] * len(rows)
        while queue:
            size, state = heappop(queue)
            if gone[state] or size != len(near[state]):
                continue
            gone[state] = True
            self._order.append(state)
            around = sorted(near[state])
            row = rows[state] = {key: rows[state].get(key, 0.0) for key in around}
            column = {key: columns[state].get(key, 0.0) for key in around}
            columns[state] = column
            outflow = self._outflow[state] = left[state] + sum(row.values())
            for target in around:
                row[target] /= outflow
            left[state] /= outflow
            for source in around:
                inflow = column[source]
                toward = rows[source]
                toward.pop(state, None)
                columns[source].pop(state, None)
                left[source] += inflow * left[state]
                if inflow:
                    for target, chance in row.items():
                        if target != source and chance:
                            value = toward.get(target, 0.0) + inflow * chance
                            toward[target] = columns[target][source] = value
                near[source].discard(state)
                near[source].update(around)
                near[source].discard(source)
                heappush(queue, (len(near[source]), source))

    def expectations(self, rewards: Sequence[float]) -> list[float]:
        """Return what a walk from each state gains, given the *rewards* of a visit."""
        found = list(rewards)
        for state in self._order:
            found[state] /= self._outflow[state]
            for source, inflow in self._before[state].items():
                found[source] += inflow * found[state]
        for state in reversed(self._order):
            for target, chance in self._after[state].items():
                found[state] += chance * found[target]
        return found

    def returns(self) -> list[float]:
        """Return how often a walk from each state is in that state, 1 at least.

        Source: the diagonal of the fundamental matrix, by the recurrence of Takahashi,
        Fagan and Chen (1973), which needs the inverse at no other places than those
        where states were joined.
        """
        known: list[dict[int, float]] = [{} for _ in self._order]
        for state in reversed(self._order):
            after, before = self._after[state], self._before[state]
            outflow = self._outflow[state]
            own = known[state]
            for near in before:
                own[near] = sum(
                    chance * known[target][near] for target, chance in after.items()
                )
                known[near][state] = (
                    sum(
                        known[near][source] * inflow
                        for source, inflow in before.items()
                    )
                    / outflow
                )
            back = sum(own[source] * inflow for source, inflow in before.items())
            own[state] = (1.0 + back) / outflow
        return [row[state] for state, row in enumerate(known)]


class Sweeps:
    """The same by going through all states again and again, until nothing changes.

    Much faster than `Elimination` where states are many. What walks bring altogether is
    known, so each turn also scales its figures to that: without, long walks would take
    as many turns as they have steps.

    Source: the Gauss-Seidel method, with aggregation to a single state; see Stewart,
    "Introduction to the Numerical Solution of Markov Chains" (1994), chapter 6.
    """

    __slots__ = (
        "_entries",
        "_forward",
        "_leaving",
        "_moves",
        "_sources",
        "_visits",
        "turns",
    )

    def __init__(
        self,
        entries: Sequence[float],
        moves: Sequence[Mapping[int, float]],
        leaving: Sequence[float],
        visits: Sequence[float],
    ) -> None:
        """Prepare for walks whose *visits* to each state are known.

        *entries* say how many walks begin in each state, in the measure of *visits*.
        """
        self.turns = 0  # taken so far, which is what they cost
        self._entries, self._moves = entries, moves
        self._leaving, self._visits = leaving, visits
        self._sources: list[dict[int, float]] = [{} for _ in moves]
        for state, row in enumerate(moves):
            for target, chance in row.items():
                self._sources[target][state] = chance
        self._forward = _rows(_from_the_entries(entries, moves), self._sources)

    def expectations(self, rewards: Sequence[float]) -> list[float]:
        """Return what a walk from each state gains, given the *rewards* of a visit.

        After some hundred turns, what was found by then.
        """
        total = sum(map(mul, self._visits, rewards))
        found = [total / sum(self._entries)] * len(rewards)
        order = [state for state, _, _ in reversed(self._forward)]
        rows = _rows(order, self._moves)
        return self._settled(found, rows, rewards, self._entries, total)[0]

    def visits_without(self, removed: Collection[int]) -> list[float] | None:
        """Return the visits by walks that end where they meet a *removed* state.

        None if they were not found in some hundred turns.
        """
        gone = set(removed)
        visits, leaving = list(self._visits), list(self._leaving)
        for state in removed:
            visits[state] = 0.0
            for source, chance in self._sources[state].items():
                leaving[source] += chance
        entering = sum(
            entry for state, entry in enumerate(self._entries) if state not in gone
        )
        rows = [row for row in self._forward if row[0] not in gone]
        found, settled = self._settled(visits, rows, self._entries, leaving, entering)
        return found if settled else None

    def _settled(
        self,
        values: list[float],
        rows: Sequence[_Row],
        given: Sequence[float],
        measure: Sequence[float],
        total: float,
    ) -> tuple[list[float], bool]:
        """Return the values that are what is *given*, and what *rows* add to that.

        Their sum by *measure* is known to be *total*. Tell, too, if they came to rest.
        """
        for _ in range(_MOST_TURNS):
            self.turns += 1
            measured = sum(map(mul, values, measure))
            scale = total / measured if measured else 0.0
            values = [value * scale for value in values]
            change = 0.0
            for state, pick, chances in rows:
                value = given[state] + sum(map(mul, chances, pick(values)))
                moved = abs(value - values[state])
                if moved > change:
                    change = moved
                values[state] = value
            if change <= _CLOSE * max(values, default=0.0):
                return values, True
        return values, False


def _rows(
    states: Sequence[int], neighbors: Sequence[Mapping[int, float]]
) -> list[_Row]:
    return [
        (state, picker(list(neighbors[state])), list(neighbors[state].values()))
        for state in states
    ]


def _from_the_entries(
    entries: Sequence[float], moves: Sequence[Mapping[int, float]]
) -> list[int]:
    """Return the states by how soon walks can reach them."""
    order = [state for state, chance in enumerate(entries) if chance]
    met = set(order)
    for state in order:  # which grows meanwhile
        for target in moves[state]:
            if target not in met:
                met.add(target)
                order.append(target)
    return order
