"""Paths seen as walks over windows of channels: the counts of a Markov chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import Final, TypeAlias, cast

from mbuzz.server.attribution.paths import Path, PathTable

# An outermost place beyond the paths that lie one after another in a row.
_EDGE: Final = (None,)
_Gram: TypeAlias = tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkCounts:
    """How often walks entered each state, moved on and ended there.

    A state is a window: as many channels in a row as the order says, or a whole path
    that is shorter. All sequences are by state, states by their channels. Moves from a
    state to itself, as in A A A, are left out: they change no chance to end anywhere.

    Attributes:
        states: The windows, sorted.
        entries: Walks that began there.
        moves: Walks that went on, by the index of the next state.
        conversions: Walks that converted there.
        nulls: Walks that ended there without.
        revenues: Revenue of those that converted, in millionths of the currency unit.
    """

    states: Sequence[Path]
    entries: Sequence[int]
    moves: Sequence[Mapping[int, int]]
    conversions: Sequence[int]
    nulls: Sequence[int]
    revenues: Sequence[int]

    def visits(self) -> list[int]:
        """Return how often walks came to each state."""
        return [
            sum(row.values()) + converted + ended
            for row, converted, ended in zip(
                self.moves, self.conversions, self.nulls, strict=True
            )
        ]


def count_walks(table: PathTable, order: int) -> WalkCounts:
    """Return the counts of all paths, seen through windows of *order* channels."""
    converted = _grams(
        ((path, conversions) for path, conversions, _ in table.converting()), order
    )
    ended = _grams(table.nulls.items(), order)
    entries: Counter[_Gram] = Counter()
    exits: tuple[Counter[_Gram], Counter[_Gram]] = (Counter(), Counter())
    moves: dict[_Gram, dict[_Gram, int]] = {}
    for grams, ends in zip((converted, ended), exits, strict=True):
        for gram, times in grams.items():
            if None not in gram:
                window, following = gram[:-1], gram[1:]
                row = moves.setdefault(window, {})
                row[following] = row.get(following, 0) + times
            elif gram[0] is not None:
                if gram.index(None) == order:
                    ends[gram[:-1]] += times
            elif None not in gram[1:]:
                entries[gram[1:]] += times
            elif window := gram[1 : gram.index(None, 1)]:
                entries[window] += times
                ends[window] += times
    revenues: Counter[_Gram] = Counter()
    for path, _, revenue in table.converting():
        revenues[path[-order:]] += revenue
    reached = (following for row in moves.values() for following in row)
    windows = sorted({*moves, *reached, *entries, *exits[0], *exits[1]})
    number = {window: index for index, window in enumerate(windows)}
    return WalkCounts(
        # No window has an edge in it.
        states=cast("list[Path]", windows),
        entries=[entries[window] for window in windows],
        moves=[
            {
                number[following]: times
                for following, times in sorted(moves.get(window, {}).items())
                if following != window
            }
            for window in windows
        ],
        conversions=[exits[0][window] for window in windows],
        nulls=[exits[1][window] for window in windows],
        revenues=[revenues[window] for window in windows],
    )


def _grams(counts: Iterable[tuple[Path, int]], order: int) -> Counter[_Gram]:
    """Count the runs of one more than *order* places in all paths, edges included.

    The paths of the same count lie in one row, parted by edges, which C can count; a
    run that begins at an edge and reaches the next one is a whole, short path.
    """
    together: dict[int, list[Path]] = {}
    for path, times in counts:
        together.setdefault(times, []).append(path)
    found: Counter[_Gram] = Counter()
    for times, paths in together.items():
        row: list[str | None] = list(
            chain.from_iterable(chain.from_iterable(zip(repeat(_EDGE), paths)))
        )
        row.extend(_EDGE * (order + 1))
        shifted = (islice(row, start, None) for start in range(order + 1))
        for gram, seen in Counter(zip(*shifted, strict=False)).items():
            found[gram] += seen * times
    return found
