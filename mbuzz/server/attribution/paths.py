"""What data-driven models learn from: the paths taken, how often, and what came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, groupby
from types import MappingProxyType
from typing import Final, TypeAlias

from mbuzz.server.attribution.journeys import Journey

Path: TypeAlias = tuple[str, ...]

# Of a longer journey only the changes of channel are learned.
LONG: Final = 500


class NoConversionsError(ValueError):
    """Nobody converted, so there is nothing to share out."""

    def __init__(self) -> None:
        super().__init__(
            "there are no conversions to learn from; "
            "give journeys of which at least one converted"
        )


class PathTable:
    """Counts of conversions, their revenue and of journeys without, for each path.

    Counts and revenues are whole numbers, so that neither the order of what is added
    nor how it was grouped before makes a difference to what is learned.
    """

    __slots__ = ("_converting", "_nulls")

    def __init__(self) -> None:
        self._converting: dict[Path, list[int]] = {}
        self._nulls: dict[Path, int] = {}

    def observe(self, journeys: Iterable[Journey]) -> None:
        """Add *journeys*, one each; those without touchpoints are passed over."""
        converting, nulls = self._converting, self._nulls
        for channels, _, converted_at_ms, revenue, _ in journeys:
            if converted_at_ms is None:
                nulls[channels] = nulls.get(channels, 0) + 1
            elif (known := converting.get(channels)) is not None:
                known[0] += 1
                known[1] += revenue or 0
            else:
                converting[channels] = [1, revenue or 0]
        # Looked for among the paths, of which there are fewer than journeys.
        nulls.pop((), None)
        converting.pop((), None)
        for path in [path for path in nulls if len(path) > LONG]:
            self.add(path, nulls=nulls.pop(path))
        for path in [path for path in converting if len(path) > LONG]:
            conversions, revenue = converting.pop(path)
            self.add(path, conversions=conversions, revenue=revenue)

    def add(
        self, path: Path, *, conversions: int = 0, revenue: int = 0, nulls: int = 0
    ) -> None:
        """Add journeys that took the same *path*; an empty one is passed over.

        Args:
            path: Channels in the order they were met.
            conversions: How many of the journeys converted.
            revenue: What these brought together, in millionths of the currency unit.
            nulls: How many did not convert.

        Raises:
            ValueError: If a count is negative, or revenue comes without conversions.
        """
        if conversions < 0 or nulls < 0:
            raise ValueError(
                "conversions and nulls must be 0 or more, "
                f"got {conversions!r} and {nulls!r}"
            )
        if revenue and not conversions:
            raise ValueError(f"revenue needs conversions, got {revenue!r} with none")
        if not path:
            return
        if len(path) > LONG:
            path = tuple(channel for channel, _ in groupby(path))
        if nulls:
            self._nulls[path] = self._nulls.get(path, 0) + nulls
        if conversions:
            known = self._converting.setdefault(path, [0, 0])
            known[0] += conversions
            known[1] += revenue

    @property
    def nulls(self) -> Mapping[Path, int]:
        """How many journeys without a conversion took each path."""
        return MappingProxyType(self._nulls)

    def converting(self) -> Iterator[tuple[Path, int, int]]:
        """Return each path that converted, how often, and the revenue of all that."""
        return (
            (path, conversions, revenue)
            for path, (conversions, revenue) in self._converting.items()
        )

    @property
    def conversions(self) -> int:
        """How many journeys converted."""
        return sum(conversions for conversions, _ in self._converting.values())

    @property
    def journeys(self) -> int:
        """How many journeys there are."""
        return self.conversions + sum(self._nulls.values())

    @property
    def revenue(self) -> int:
        """Revenue of all conversions, in millionths of the currency unit."""
        return sum(revenue for _, revenue in self._converting.values())

    @property
    def channels(self) -> tuple[str, ...]:
        """All channels, sorted."""
        paths = chain(self._converting, self._nulls)
        return tuple(sorted(set(chain.from_iterable(paths))))


def observe(journeys: Iterable[Journey]) -> PathTable:
    """Return the table of *journeys*, read once; empty ones are left out.

    Paths longer than `LONG` count as if equal channels in a row were one.
    """
    table = PathTable()
    table.observe(journeys)
    return table
