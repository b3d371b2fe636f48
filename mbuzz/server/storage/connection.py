"""What the stores' SQL needs of a database connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]
Params = Mapping[str, object]


class Connection(Protocol):
    """Runs statements with ``:name`` parameters inside one transaction."""

    def rows(self, sql: str, params: Params) -> Sequence[Row]:
        """Return every row of a query."""
        ...

    def run(self, sql: str, params: Params) -> int:
        """Run a statement and return how many rows it changed."""
        ...


def first(rows: Sequence[Row]) -> Row | None:
    """Return the first row, if there is one."""
    return rows[0] if rows else None


def in_list(values: Sequence[int]) -> str:
    """Return *values* as the inside of an SQL ``IN (...)``; integers only."""
    return ",".join(str(int(value)) for value in values) or "NULL"
