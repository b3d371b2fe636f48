"""A table of paths, as ChannelAttribution reads it: its columns, and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from mbuzz.cli.attribution.line_values import (
    Channels,
    LineError,
    count,
    millionths,
    shown,
)

SEPARATOR: Final = ">"
# What others call the columns.
_NAMES: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "path": ("path",),
        "conversions": ("conversions", "total_conversions", "conv"),
        "value": ("value", "total_conversion_value", "conv_value", "revenue"),
        "null": ("null", "nulls", "total_null"),
    }
)


class PathLine(NamedTuple):
    """A row: what so many conversions with that path earned, and how many had none.

    `revenue` is that of all of them together, in millionths of the currency unit; None
    in a table without amounts.
    """

    channels: Sequence[str]
    conversions: int
    revenue: int | None
    nulls: int


class Columns(NamedTuple):
    """Where in a row what is; None for a column that the table does not have."""

    path: int
    conversions: int
    value: int | None
    null: int | None
    width: int
    unknown: frozenset[str]

    @classmethod
    def of(cls, header: Sequence[str]) -> Columns:
        """Return the columns that a table's header names.

        Raises:
            LineError: If they are not those of a table of paths.
        """
        names = [name.strip().lower() for name in header]
        found: dict[str, int] = {}
        for column, known in _NAMES.items():
            places = [place for place, name in enumerate(names) if name in known]
            if len(places) > 1:
                raise LineError(
                    f"the header has several columns for {column} "
                    f"({', '.join(names[place] for place in places)}); leave one"
                )
            if places:
                found[column] = places[0]
        missing = [column for column in ("path", "conversions") if column not in found]
        if missing:
            raise LineError(
                "a table must have the columns path, conversions, value and null (the "
                f"last two may be left out); it lacks {' and '.join(missing)}: "
                f"{shown(','.join(header))}"
            )
        unknown = {
            name for place, name in enumerate(names) if place not in found.values()
        }
        return cls(
            found["path"],
            found["conversions"],
            found.get("value"),
            found.get("null"),
            len(names),
            frozenset(unknown),
        )

    def row(
        self, cells: Sequence[str], channels: Channels, separator: str = SEPARATOR
    ) -> PathLine:
        """Return what a row says.

        Raises:
            LineError: If it does not fit the header, or its numbers are none.
        """
        if len(cells) != self.width:
            raise LineError(
                f"the header has {self.width} columns, this row {len(cells)}; "
                "quote cells that have the delimiter in them"
            )
        path = cells[self.path].strip()
        names = (
            [channels[name.strip()] for name in path.split(separator)] if path else []
        )
        conversions = count(cells[self.conversions].strip() or 0, "conversions")
        revenue = None
        if self.value is not None and cells[self.value].strip():
            revenue = millionths(cells[self.value], "value")
        if revenue and not conversions:
            raise LineError(
                f"there is a value of {cells[self.value or 0]} but no conversion; "
                "count the conversions that it is of"
            )
        nulls = 0 if self.null is None else count(cells[self.null].strip() or 0, "null")
        return PathLine(names, conversions, revenue, nulls)
